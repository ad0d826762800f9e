//! kill(2) with any signal number, real-time ones included.
#![allow(unsafe_code, reason = "kill(2) takes two integers; the safe wrappers know named signals only")]

use std::io;

use rustix::process::Pid;

/// Whom a signal reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Process(Pid),
    Group(Pid),
    /// Every process but the caller and the first one.
    Everyone,
}

/// Sends signal `number` to `target`.
pub(crate) fn send(target: Target, number: i32) -> io::Result<()> {
    let id = match target {
        Target::Process(pid) => pid.as_raw_nonzero().get(),
        Target::Group(pid) => -pid.as_raw_nonzero().get(),
        Target::Everyone => -1,
    };
    // SAFETY: no memory is involved.
    if unsafe { libc::kill(id, number) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// `SIGRTMIN + offset` as programs of the C library count it.
pub(crate) fn real_time(offset: i32) -> i32 {
    libc::SIGRTMIN() + offset
}
