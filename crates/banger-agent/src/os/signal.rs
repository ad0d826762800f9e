//! kill(2) with any signal number, real-time ones included.
#![allow(unsafe_code, reason = "kill(2) takes two integers; the safe wrappers know named signals only")]

use std::io;

use rustix::process::Pid;

/// The recipients of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Process(Pid),
    Group(Pid),
    /// Every process except the caller and the first one.
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

/// A process's handling of signals, as masks of `/proc/<pid>/status` (`proc(5)`: bit n - 1 stands for signal n).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mask {
    /// The process has a handler.
    Caught,
    /// The signal waits until the process asks for it, perhaps through a descriptor.
    Blocked,
    Ignored,
}

/// Tells whether a signal is in one of these masks in a process's `status`.
pub(crate) fn is_in(status: &str, masks: &[Mask], number: i32) -> bool {
    let bit = 1_u64.checked_shl(number.unsigned_abs().saturating_sub(1)).unwrap_or(0);
    let mask = |mask: &Mask| {
        let name = match mask {
            Mask::Caught => "SigCgt:",
            Mask::Blocked => "SigBlk:",
            Mask::Ignored => "SigIgn:",
        };
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        u64::from_str_radix(line.trim(), 16).ok()
    };
    masks.iter().filter_map(mask).any(|mask| mask & bit != 0)
}

/// Tells whether a signal ends a process that does not handle it (`signal(7)`).
pub(crate) fn ends_by_default(number: i32) -> bool {
    !matches!(
        number,
        libc::SIGCHLD
            | libc::SIGCONT
            | libc::SIGSTOP
            | libc::SIGTSTP
            | libc::SIGTTIN
            | libc::SIGTTOU
            | libc::SIGURG
            | libc::SIGWINCH
    )
}
