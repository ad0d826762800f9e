//! Whether the host's kernel killed a process because memory ran out. The kernel's log names the process; if the log may not
//! be read, the counter of the process's cgroup shows only that some process in it was killed.
//! Sources: `mm/oom_kill.c` of Linux, `cgroup-v2.rst` (`memory.events`), `kmsg(5)`.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Longest record of the kernel's log.
const RECORD_BYTES_MAX: usize = 8 * 1024;
/// Maximum number of records that are read: all that a large log can hold.
const RECORDS_MAX: usize = 100_000;

/// The counter of kills in a process's cgroup at one moment.
#[derive(Clone, Debug)]
pub struct KillCount {
    cgroup: Counter,
    /// Includes the cgroup and remains when that is removed with its process, as a jail's is.
    parent: Option<Counter>,
}

impl KillCount {
    /// Reads the counter for a running process; `None` if its cgroup has none.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let cgroup = cgroups.lines().find_map(|line| line.strip_prefix("0::/"))?;
        Self::of_cgroup(&Path::new("/sys/fs/cgroup").join(cgroup))
    }

    fn of_cgroup(cgroup: &Path) -> Option<Self> {
        Some(Self { cgroup: Counter::of(cgroup)?, parent: cgroup.parent().and_then(Counter::of) })
    }

    /// Tells whether a process of the cgroup was killed since. If the cgroup is gone, the process may also have been one of its
    /// siblings'.
    #[must_use]
    pub fn has_grown(&self) -> bool {
        let growth = self.cgroup.has_grown().or_else(|| self.parent.as_ref()?.has_grown());
        growth.unwrap_or_default()
    }
}

#[derive(Clone, Debug)]
struct Counter {
    file: PathBuf,
    count: u64,
}

impl Counter {
    fn of(cgroup: &Path) -> Option<Self> {
        let file = cgroup.join("memory.events");
        let count = kills(&fs::read_to_string(&file).ok()?)?;
        Some(Self { file, count })
    }

    /// `None` if the cgroup is gone.
    fn has_grown(&self) -> Option<bool> {
        let now = kills(&fs::read_to_string(&self.file).ok()?)?;
        Some(now > self.count)
    }
}

fn kills(events: &str) -> Option<u64> {
    events.lines().find_map(|line| line.strip_prefix("oom_kill "))?.parse().ok()
}

/// Tells whether the kernel's log says that this process was killed for lack of memory. `false` also if the log may not be
/// read. Process IDs are reused, so ask only for a process that has just ended.
#[must_use]
pub fn is_in_kernel_log(pid: u32) -> bool {
    // A newly opened log is read from its beginning, without waiting at its end.
    let log = fs::OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default())
        .open("/dev/kmsg");
    log.is_ok_and(|log| records(log).any(|record| tells_kill(&record, pid)))
}

fn records(mut log: File) -> impl Iterator<Item = String> {
    let mut buffer = vec![0; RECORD_BYTES_MAX];
    let next = move || loop {
        match log.read(&mut buffer) {
            Ok(0) => return None,
            Ok(count) => {
                return Some(String::from_utf8_lossy(buffer.get(..count).unwrap_or_default()).into_owned());
            }
            // Records were overwritten before they were read; the next read continues after them.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    };
    std::iter::from_fn(next).take(RECORDS_MAX)
}

/// `6,1234,5678,-;Out of memory: Killed process 4711 (qemu-system-x86) total-vm:…`, or the same for a memory cgroup.
fn tells_kill(record: &str, pid: u32) -> bool {
    let Some((_, text)) = record.split_once(';') else { return false };
    text.split_once("ut of memory: Killed process ")
        .is_some_and(|(_, rest)| rest.split_whitespace().next() == Some(&pid.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_is_told_of_this_process_only() {
        for told in [
            "3,900,1234567,-;Out of memory: Killed process 4711 (qemu-system-x86) total-vm:1kB, anon-rss:1kB",
            "3,900,1234567,-;Memory cgroup out of memory: Killed process 4711 (qemu) total-vm:1kB",
        ] {
            assert!(tells_kill(told, 4711));
            assert!(!tells_kill(told, 471) && !tells_kill(told, 47110));
        }
        assert!(!tells_kill("6,1,2,-;usb 1-1: Killed process 4711", 4711));
        assert!(!tells_kill("", 4711));
    }

    #[test]
    fn the_counter_is_read_among_others_and_the_parents_once_the_cgroup_is_gone() {
        let parent = tempfile::tempdir().unwrap();
        let cgroup = parent.path().join("vm");
        fs::create_dir(&cgroup).unwrap();
        let write = |directory: &Path, kills: u32| {
            let events = format!("low 0\noom 5\noom_kill {kills}\noom_group_kill 0\n");
            fs::write(directory.join("memory.events"), events).unwrap();
        };
        assert!(KillCount::of_cgroup(&cgroup).is_none());
        assert_eq!(kills("low 0\n"), None);
        write(&cgroup, 2);
        assert!(!KillCount::of_cgroup(&cgroup).unwrap().has_grown());
        write(parent.path(), 7);
        let count = KillCount::of_cgroup(&cgroup).unwrap();
        write(parent.path(), 8);
        assert!(!count.has_grown(), "a process of another cgroup was killed");
        write(&cgroup, 3);
        assert!(count.has_grown());
        fs::remove_dir_all(&cgroup).unwrap();
        assert!(count.has_grown());
        write(parent.path(), 7);
        assert!(!count.has_grown());
        fs::remove_file(parent.path().join("memory.events")).unwrap();
        assert!(!count.has_grown());
    }
}
