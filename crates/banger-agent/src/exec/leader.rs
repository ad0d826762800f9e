//! The process of a command, and the signals that are sent to it.

use std::{
    fs,
    os::fd::AsFd,
    os::unix::process::ExitStatusExt as _,
    process::ExitStatus,
    sync::{Mutex, PoisonError},
};

use rustix::process::Pid;

use crate::os::signal::{self, Mask, Target};

/// The leader of a command.
#[derive(Debug, Default)]
pub(crate) struct Leader {
    /// Empty once its number could belong to another process.
    pid: Mutex<Option<Pid>>,
    is_first: bool,
    /// The signal that we carried out ourselves.
    ended_by: Mutex<Option<i32>>,
}

impl Leader {
    /// `is_first`: the process is the first of a PID namespace.
    pub(crate) fn new(pid: Pid, is_first: bool) -> Self {
        Self { pid: Mutex::new(Some(pid)), is_first, ended_by: Mutex::default() }
    }

    /// Records that the number is free, so that no process is signalled from now on.
    pub(crate) fn forget(&self) {
        *self.pid.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Signals the foreground group of the terminal, or the process's own group.
    pub(crate) fn signal(&self, terminal: Option<impl AsFd>, number: i32) {
        let pid = self.pid.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(pid) = *pid else { return };
        let foreground = terminal.and_then(|master| rustix::termios::tcgetpgrp(master).ok());
        let group = foreground.unwrap_or(pid);
        let _ = signal::send(Target::Group(group), number);
        if self.is_first && group == pid && is_deaf_to(pid, number) {
            *self.ended_by.lock().unwrap_or_else(PoisonError::into_inner) = Some(number);
            let _ = signal::send(Target::Process(pid), libc::SIGKILL);
        }
    }

    /// Returns how the command ended, as its caller should see it.
    pub(crate) fn seen(&self, status: ExitStatus) -> ExitStatus {
        let ended_by = *self.ended_by.lock().unwrap_or_else(PoisonError::into_inner);
        match (status.signal(), ended_by) {
            (Some(libc::SIGKILL), Some(number)) => ExitStatus::from_raw(number),
            (_, _) => status,
        }
    }
}

/// Tells whether a signal that ends every other process does not reach this one. The kernel shields the first process of a
/// PID namespace from signals without a handler (`pid_namespaces(7)`), and a program that was not written to be one would
/// not react when its caller asks it to end.
fn is_deaf_to(pid: Pid, number: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap_or_default();
    !status.is_empty()
        && signal::ends_by_default(number)
        && !signal::is_in(&status, &[Mask::Caught, Mask::Blocked, Mask::Ignored], number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_that_was_carried_out_for_a_signal_is_told_as_that_signal() {
        let leader = Leader { ended_by: Mutex::new(Some(libc::SIGINT)), ..Leader::default() };
        assert_eq!(leader.seen(ExitStatus::from_raw(libc::SIGKILL)).signal(), Some(libc::SIGINT));
        assert_eq!(leader.seen(ExitStatus::from_raw(7 << 8)).code(), Some(7), "it was faster");
        assert_eq!(Leader::default().seen(ExitStatus::from_raw(libc::SIGKILL)).signal(), Some(libc::SIGKILL));
    }

    #[test]
    fn a_process_without_a_handler_is_deaf_to_what_would_end_it() {
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let pid = Pid::from_child(&child);
        assert!(is_deaf_to(pid, libc::SIGTERM));
        assert!(!is_deaf_to(pid, libc::SIGWINCH));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
