//! PID namespaces of commands. An image's command is the first process of one, as in a container, and later commands join
//! it, so that the numbers in pid files match theirs (`pid_namespaces(7)`).
//!
//! A process is born into its PID namespace: the thread that forks selects the namespace of its next children. A `/proc` of
//! its own shows the namespace, so each has a mount namespace of its own as well; except for `/proc`, mounts propagate
//! between these and ours.
#![allow(unsafe_code, reason = "unshare(2) and setns(2) take flags and descriptors; no memory is involved")]

use std::{
    fs::File,
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use rustix::{
    io::Errno,
    mount::{MountFlags, MountPropagationFlags, mount, mount_change},
    process::Pid,
};

/// The processes that a command sees.
#[derive(Debug)]
pub(crate) enum Place {
    /// The same processes that we see.
    Ours,
    /// Only processes that it starts, because it is the first process of a namespace.
    First,
    /// Those of another command.
    Beside(Namespaces),
}

/// The namespaces of the first process of a place.
#[derive(Debug)]
pub(crate) struct Namespaces {
    processes: OwnedFd,
    mounts: OwnedFd,
}

impl Namespaces {
    /// Opens the namespaces of a process, which must not have been waited for.
    pub(crate) fn of(process: Pid) -> io::Result<Self> {
        let open =
            |kind| File::open(format!("/proc/{}/ns/{kind}", process.as_raw_nonzero())).map(OwnedFd::from);
        Ok(Self { processes: open("pid")?, mounts: open("mnt")? })
    }
}

/// Steps that remain for the new process.
#[derive(Debug)]
pub(super) enum InChild {
    Nothing,
    ShowOwnProcesses,
    Join { mounts: OwnedFd },
}

/// Until this is dropped, children of this thread are born into another namespace.
#[derive(Debug)]
pub(super) struct ElsewhereBorn {
    ours: File,
}

/// Tells whether this kernel has PID namespaces, and we may make them.
pub(crate) fn are_there() -> bool {
    rustix::process::geteuid().is_root() && std::path::Path::new("/proc/self/ns/pid_for_children").exists()
}

impl Place {
    /// Returns the steps for the new process.
    pub(super) fn in_child(&self) -> io::Result<InChild> {
        Ok(match self {
            Self::Ours => InChild::Nothing,
            Self::First => InChild::ShowOwnProcesses,
            Self::Beside(namespaces) => InChild::Join { mounts: namespaces.mounts.try_clone()? },
        })
    }

    /// Makes the next children of this thread be born there. No thread can be started meanwhile.
    pub(super) fn enter_for_children(&self) -> io::Result<Option<ElsewhereBorn>> {
        let born = || Ok::<_, io::Error>(ElsewhereBorn { ours: File::open("/proc/thread-self/ns/pid")? });
        match self {
            Self::Ours => Ok(None),
            Self::First => {
                let born = born()?;
                unshare(libc::CLONE_NEWPID)?;
                Ok(Some(born))
            }
            Self::Beside(namespaces) => {
                let born = born()?;
                set_namespace(&namespaces.processes, libc::CLONE_NEWPID)?;
                Ok(Some(born))
            }
        }
    }
}

impl Drop for ElsewhereBorn {
    fn drop(&mut self) {
        if let Err(error) = set_namespace(&self.ours, libc::CLONE_NEWPID) {
            // Processes that we start from here on would be in the wrong namespace, so another agent must take our place.
            crate::console::error(&error);
            std::process::abort();
        }
    }
}

impl InChild {
    /// Called between fork and execve. Returns whether the mounts have changed.
    pub(super) fn enter(&self) -> Result<bool, Errno> {
        match self {
            Self::Nothing => return Ok(false),
            Self::ShowOwnProcesses => {
                unshare(libc::CLONE_NEWNS)?;
                mount_change(c"/proc", MountPropagationFlags::PRIVATE)?;
                let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
                mount(c"proc", c"/proc", c"proc", flags, None)?;
            }
            Self::Join { mounts } => set_namespace(mounts, libc::CLONE_NEWNS)?,
        }
        Ok(true)
    }
}

fn unshare(flags: libc::c_int) -> Result<(), Errno> {
    // SAFETY: no memory is involved.
    checked(unsafe { libc::unshare(flags) })
}

fn set_namespace(namespace: &impl AsRawFd, kind: libc::c_int) -> Result<(), Errno> {
    // SAFETY: no memory is involved; the descriptor is open.
    checked(unsafe { libc::setns(namespace.as_raw_fd(), kind) })
}

fn checked(result: libc::c_int) -> Result<(), Errno> {
    match result {
        0 => Ok(()),
        _ => Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::PERM)),
    }
}
