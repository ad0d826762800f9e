//! Who the process is inside its namespaces, and its sibling, which is the first process there.
//! Source: `user_namespaces(7)`, `clone(2)`.

use std::fs;
use std::io;

/// This user inside: one that is not root, so that starting a program drops every capability.
const INSIDE: u32 = 1000;

/// This user outside.
pub(super) struct Outside {
    user: u32,
    group: u32,
}

impl Outside {
    /// To be asked before the namespace is made: inside, nobody is anybody until it is mapped.
    pub(super) fn of_this_process() -> Self {
        Self { user: rustix::process::geteuid().as_raw(), group: rustix::process::getegid().as_raw() }
    }

    /// Maps this user, and no other, into the namespace that the process is in now.
    pub(super) fn map_inside(&self) -> io::Result<()> {
        // Without this an ordinary user may not map its group.
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("{INSIDE} {} 1", self.user))?;
        fs::write("/proc/self/gid_map", format!("{INSIDE} {} 1", self.group))
    }
}

/// Which process one is.
pub(super) enum Side {
    /// The one that called, with the other's pid as the host sees it.
    Starter(u32),
    /// The new one.
    Sibling,
}

/// Makes a second process with the same parent as this one.
#[expect(unsafe_code, reason = "clone(2) has no safe wrapper")]
pub(super) fn start_sibling() -> io::Result<Side> {
    let flags = libc::CLONE_PARENT | libc::SIGCHLD;
    // SAFETY: this process has one thread, and neither a stack nor memory is shared: both go on with their own copy, as
    // after fork(2).
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Side::Sibling),
        pid => u32::try_from(pid).map(Side::Starter).map_err(io::Error::other),
    }
}
