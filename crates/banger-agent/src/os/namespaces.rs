//! Process namespaces of commands: an image's command is the first process of one, as in a container, and commands that come
//! later join it, so that the numbers in its pid files are theirs, too (`pid_namespaces(7)`).
//!
//! A process is born into its process namespace: the thread that forks chooses it for its next children. What shows it is a
//! `/proc` of its own, so each of them has mounts of its own as well; but for `/proc`, mounts spread between them and ours.
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

/// Which processes a command sees.
#[derive(Debug)]
pub(crate) enum Place {
    /// Those that we see.
    Ours,
    /// Those that it starts: it is the first.
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
    /// Opens those of a process, which must not have been waited for.
    pub(crate) fn of(process: Pid) -> io::Result<Self> {
        let open =
            |kind| File::open(format!("/proc/{}/ns/{kind}", process.as_raw_nonzero())).map(OwnedFd::from);
        Ok(Self { processes: open("pid")?, mounts: open("mnt")? })
    }
}

/// What the new process has still to do.
#[derive(Debug)]
pub(super) enum InChild {
    Nothing,
    ShowOwnProcesses,
    Join { mounts: OwnedFd },
}

/// The children of this thread are born elsewhere, until this is dropped.
#[derive(Debug)]
pub(super) struct ElsewhereBorn {
    ours: File,
}

/// Tells whether this kernel has process namespaces, and we may make them.
pub(crate) fn are_there() -> bool {
    rustix::process::geteuid().is_root() && std::path::Path::new("/proc/self/ns/pid_for_children").exists()
}

impl Place {
    /// Takes what the new process needs.
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
            // What we start from here on would not be ours; another agent takes our place.
            crate::console::error(&error);
            std::process::abort();
        }
    }
}

impl InChild {
    /// Called between fork and execve. Returns whether the mounts are others now.
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
