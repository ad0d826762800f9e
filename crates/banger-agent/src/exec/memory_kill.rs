//! Detects commands that the guest's kernel killed because memory ran out, which their caller could not distinguish from
//! other kills.
//! Sources: `mm/oom_kill.c` of Linux, `kmsg(5)`.

use std::{
    fs,
    io::{self, Read as _},
    os::unix::{fs::OpenOptionsExt as _, process::ExitStatusExt as _},
    process::ExitStatus,
    time::Duration,
};

use rustix::process::Pid;

/// Longest record of the kernel's log.
const RECORD_BYTES_MAX: usize = 8 * 1024;
/// Maximum number of records that are read.
const RECORDS_MAX: usize = 100_000;
/// The clocks of the log and of commands differ by less than this.
const CLOCK_TOLERANCE: Duration = Duration::from_millis(100);

/// A command, with the time of its start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    leader: Pid,
    begun: Duration,
}

/// A process that the kernel killed.
#[derive(Debug, PartialEq, Eq)]
struct Kill {
    at: Duration,
    pid: u32,
    name: String,
}

impl Watch {
    /// Starts the watch; called at the start of the command.
    pub(super) fn begin(leader: Pid) -> Self {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        Self { leader, begun: Duration::try_from(now).unwrap_or_default() }
    }

    /// Returns a sentence about a lack of memory, if the command failed and a process was killed for that meanwhile.
    pub(super) fn sentence(self, status: ExitStatus) -> Option<String> {
        if status.success() || !has_ever_killed(&fs::read_to_string("/proc/vmstat").ok()?) {
            return None;
        }
        let after = self.begun.saturating_sub(CLOCK_TOLERANCE);
        let kills: Vec<_> =
            records().filter_map(|record| kill(&record)).filter(|kill| kill.at >= after).collect();
        let leader = self.leader.as_raw_nonzero().get().unsigned_abs();
        if status.signal() == Some(libc::SIGKILL) && kills.iter().any(|kill| kill.pid == leader) {
            return Some("the guest ran out of memory, and its kernel killed the command".to_owned());
        }
        let Kill { pid, name, .. } = kills.last()?;
        Some(format!(
            "the guest ran out of memory during the command, and its kernel killed `{name}` (process {pid})"
        ))
    }
}

/// Most guests never run out of memory; their log is not read.
fn has_ever_killed(vmstat: &str) -> bool {
    vmstat.lines().find_map(|line| line.strip_prefix("oom_kill ")).is_some_and(|count| count.trim() != "0")
}

fn records() -> impl Iterator<Item = String> {
    let log = fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg");
    let mut buffer = vec![0; RECORD_BYTES_MAX];
    let mut log = log.ok();
    std::iter::from_fn(move || {
        loop {
            match log.as_mut()?.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => return Some(String::from_utf8_lossy(buffer.get(..count)?).into_owned()),
                // Records were overwritten before they were read, or a signal arrived.
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::Interrupted) => {}
                Err(_) => return None,
            }
        }
    })
    .take(RECORDS_MAX)
}

/// Parses `3,900,1234567,-;Out of memory: Killed process 4711 (python3) total-vm:…`, or the same for a memory cgroup.
fn kill(record: &str) -> Option<Kill> {
    let (head, text) = record.split_once(';')?;
    let (_, victim) = text.split_once("ut of memory: Killed process ")?;
    let micros = head.split(',').nth(2)?.parse().ok()?;
    let (pid, rest) = victim.split_once(" (")?;
    let (name, _) = rest.split_once(')')?;
    Some(Kill { at: Duration::from_micros(micros), pid: pid.parse().ok()?, name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_is_read_with_its_moment_and_its_victim() {
        let expected =
            |pid, name: &str| Some(Kill { at: Duration::from_micros(1_234_567), pid, name: name.into() });
        let told = "3,900,1234567,-;Out of memory: Killed process 4711 (python3) total-vm:1kB, anon-rss:1kB";
        assert_eq!(kill(told), expected(4711, "python3"));
        let told = "3,900,1234567,c;Memory cgroup out of memory: Killed process 7 (cc1 plus) total-vm:1kB";
        assert_eq!(kill(told), expected(7, "cc1 plus"));
        for other in [
            "",
            "6,1,2,-;hello",
            "6,1,x,-;Out of memory: Killed process 1 (x)",
            "6,1,2,-;Killed process 1 (x)",
        ] {
            assert_eq!(kill(other), None, "{other}");
        }
    }

    #[test]
    fn a_guest_that_never_lacked_memory_is_not_asked_further() {
        assert!(!has_ever_killed("nr_free_pages 1\noom_kill 0\n"));
        assert!(has_ever_killed("nr_free_pages 1\noom_kill 12\n"));
        assert!(!has_ever_killed("nr_free_pages 1\n"));
    }

    #[test]
    fn a_command_that_succeeds_has_nothing_to_tell() {
        assert_eq!(Watch::begin(Pid::INIT).sentence(ExitStatus::from_raw(0)), None);
    }
}
