//! Processes that outlive us: how to identify one (a pid alone is never enough), await its end, and end it.
//! Source: `pidfd_open(2)`, `proc_pid_stat(5)` (fields 14, 15, 22, 24).

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::unix::AsyncFd;

use crate::event::watch;
use crate::failpoint;

/// One process of this boot of the host. Pids are reused; a pid together with its start time is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessIdentity {
    /// Process id.
    pub pid: u32,
    /// When it started, in clock ticks since the host's boot.
    pub start_ticks: u64,
}

impl ProcessIdentity {
    /// Returns the process that has this pid now; `None` if there is none, or only a zombie.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (state, start_ticks) = parse_stat(&stat)?;
        (state != 'Z' && state != 'X').then_some(Self { pid, start_ticks })
    }

    /// Tells whether exactly this process still runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        Self::of(self.pid) == Some(*self)
    }

    /// Returns the resource usage of exactly this process; `None` if it has ended.
    #[must_use]
    pub fn usage(&self) -> Option<ProcessUsage> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        let (_, start_ticks) = parse_stat(&stat)?;
        (start_ticks == self.start_ticks).then(|| parse_usage(&stat)).flatten()
    }

    /// Returns the running processes that this process's first thread has started.
    #[must_use]
    pub fn children(&self) -> Vec<Self> {
        let children =
            fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.pid)).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|pid| Self::of(pid.parse().ok()?)).collect();
        // Checked after the list was read, because the list is that of whichever process had the pid then.
        if self.is_alive() { children } else { Vec::new() }
    }

    /// Opens the process, so that its end is an event and a signal cannot reach another process. `None` if it has ended.
    ///
    /// # Errors
    /// As `pidfd_open(2)`.
    pub fn open(&self) -> io::Result<Option<ProcessHandle>> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
        let descriptor = match pidfd_open(pid, PidfdFlags::NONBLOCK) {
            Ok(descriptor) => descriptor,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        // Checked after the open, because the descriptor refers to whichever process had the pid then.
        if !self.is_alive() {
            return Ok(None);
        }
        Ok(Some(ProcessHandle { descriptor: watch(descriptor)? }))
    }

    /// Sends SIGKILL to exactly this process. It is not an error if it has ended.
    ///
    /// # Errors
    /// As `pidfd_open(2)` and `pidfd_send_signal(2)`.
    pub fn kill(&self) -> io::Result<()> {
        failpoint::pass("end process");
        let ended = self.open()?.map_or(Ok(()), |process| process.signal(Signal::KILL));
        failpoint::pass("process ended");
        ended
    }
}

fn parse_stat(stat: &str) -> Option<(char, u64)> {
    // The second field is the name in parentheses and may contain anything, so count from the last parenthesis.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let start_ticks = fields.nth(18)?.parse().ok()?;
    Some((state, start_ticks))
}

/// The resource usage of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessUsage {
    /// Processor time of all its threads, in user and kernel mode.
    pub cpu_time: Duration,
    /// Resident memory.
    pub resident_bytes: u64,
}

fn parse_usage(stat: &str) -> Option<ProcessUsage> {
    let (_, rest) = stat.rsplit_once(')')?;
    // The first field after the name is the third of the line.
    let field = |number: usize| rest.split_whitespace().nth(number - 3)?.parse::<u64>().ok();
    let ticks = field(14)?.checked_add(field(15)?)?;
    let (page_bytes, ticks_per_second) =
        (rustix::param::page_size(), rustix::param::clock_ticks_per_second());
    Some(ProcessUsage {
        cpu_time: Duration::from_millis(ticks.checked_mul(1000)?.checked_div(ticks_per_second)?),
        resident_bytes: field(24)?.checked_mul(u64::try_from(page_bytes).ok()?)?,
    })
}

/// An open process.
#[derive(Debug)]
pub struct ProcessHandle {
    descriptor: AsyncFd<OwnedFd>,
}

impl ProcessHandle {
    /// Waits until the process has ended.
    ///
    /// # Errors
    /// As `poll(2)`.
    pub async fn ended(&self) -> io::Result<()> {
        self.descriptor.readable().await.map(|mut guard| guard.retain_ready())
    }

    /// Sends a signal. It is not an error if the process has ended.
    ///
    /// # Errors
    /// As `pidfd_send_signal(2)`.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(self.descriptor.get_ref(), signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "12 (a) b (c)) S 1 12 12 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2";
        assert_eq!(parse_stat(stat), Some(('S', 987_654)));
    }

    #[test]
    fn a_process_tells_what_it_uses() {
        let stat = "12 (a) b (c)) S 1 12 12 0 -1 4194560 1 2 3 4 150 50 7 8 20 0 1 0 987654 1000 3 1";
        let usage = parse_usage(stat).unwrap();
        assert_eq!(usage.cpu_time, Duration::from_secs(2));
        assert_eq!(usage.resident_bytes, 3 * rustix::param::page_size() as u64);
        let ours = ProcessIdentity::of(std::process::id()).unwrap();
        assert!(ours.usage().unwrap().resident_bytes > 0);
        assert_eq!(ProcessIdentity { start_ticks: ours.start_ticks + 1, ..ours }.usage(), None);
    }

    #[tokio::test]
    async fn the_end_of_a_process_is_an_event() {
        let mut child = tokio::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let identity = ProcessIdentity::of(child.id().unwrap()).unwrap();
        let handle = identity.open().unwrap().unwrap();
        handle.signal(Signal::KILL).unwrap();
        handle.ended().await.unwrap();
        handle.ended().await.unwrap();
        assert!(!identity.is_alive());
        child.wait().await.unwrap();
        assert!(identity.open().unwrap().is_none());
    }

    #[test]
    fn another_process_with_the_same_pid_is_not_the_same() {
        let ours = ProcessIdentity::of(std::process::id()).unwrap();
        assert!(ours.is_alive());
        assert!(!ProcessIdentity { start_ticks: ours.start_ticks + 1, ..ours }.is_alive());
    }
}
