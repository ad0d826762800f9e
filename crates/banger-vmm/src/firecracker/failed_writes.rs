//! Watches for writes of the guest that the host's disk refused. Firecracker does not pause the guest then, as QEMU does: it
//! returns an error to the guest, and its log is the only place on the host that tells of it.
//! Source: `src/vmm/src/devices/virtio/block/virtio/request.rs` of Firecracker, the same from 1.8 to 1.16.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_model::DiskTrouble;
use rustix::fs::{Mode, OFlags};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

/// How often the log is looked at.
const PERIOD: Duration = Duration::from_secs(2);

/// How much of the log is read at a time. Of a longer part only the end is read: a guest that fails to write fails again.
const PART_BYTES_MAX: u64 = 128 * 1024;

const WRITE_FAILED: [&str; 2] =
    ["Failed to execute Out virtio block request", "Failed to execute Flush virtio block request"];

/// `ENOSPC`, as Rust prints an error of the operating system.
const NO_SPACE: &str = "code: 28,";

/// Follows the log for as long as the handle is held, also what it already holds. A trouble stays: what was lost is lost.
pub(super) fn watch(log: PathBuf) -> (watch::Receiver<Option<DiskTrouble>>, AbortOnDropHandle<()>) {
    let (sender, trouble) = watch::channel(None);
    let task = tokio::spawn(async move {
        let mut reader = Reader { log, read_bytes: 0 };
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if !reader.has_more() {
                continue;
            }
            let read = tokio::task::spawn_blocking(move || {
                let found = reader.read();
                (reader, found)
            });
            let Ok((next, found)) = read.await else { return };
            reader = next;
            match found {
                Ok(found) => {
                    sender.send_if_modified(|known| {
                        let now = worse(*known, found);
                        std::mem::replace(known, now) != now
                    });
                }
                Err(error) => debug!(%error, "cannot read Firecracker's log"),
            }
        }
    });
    (trouble, AbortOnDropHandle::new(task))
}

/// Reads a log as it grows.
struct Reader {
    log: PathBuf,
    read_bytes: u64,
}

impl Reader {
    fn has_more(&self) -> bool {
        std::fs::symlink_metadata(&self.log).is_ok_and(|metadata| metadata.len() != self.read_bytes)
    }

    /// Reads the whole lines that were added.
    fn read(&mut self) -> io::Result<Option<DiskTrouble>> {
        let mut file = open(&self.log)?;
        let length = file.metadata()?.len();
        // A shorter log was emptied, and begins again.
        let begin = if length < self.read_bytes { 0 } else { self.read_bytes };
        let begin = begin.max(length.saturating_sub(PART_BYTES_MAX));
        file.seek(SeekFrom::Start(begin))?;
        let mut bytes = Vec::new();
        file.take(PART_BYTES_MAX).read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.read_bytes = begin + whole as u64;
        Ok(trouble_in(&String::from_utf8_lossy(bytes.get(..whole).unwrap_or_default())))
    }
}

/// The directory is the machine's: nothing in it is followed as a link.
fn open(log: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(log, flags, Mode::empty())?))
}

/// Returns what lines of the log tell of failed writes.
fn trouble_in(lines: &str) -> Option<DiskTrouble> {
    let failed = lines.lines().filter(|line| WRITE_FAILED.iter().any(|sign| line.contains(sign)));
    let troubles = failed.map(|line| {
        if line.contains(NO_SPACE) { DiskTrouble::HostDiskFull } else { DiskTrouble::HostDiskError }
    });
    troubles.fold(None, |known, found| worse(known, Some(found)))
}

/// A full disk explains whatever else fails on it.
fn worse(known: Option<DiskTrouble>, found: Option<DiskTrouble>) -> Option<DiskTrouble> {
    match (known, found) {
        (Some(DiskTrouble::HostDiskFull), _) | (_, None) => known,
        (None | Some(DiskTrouble::HostDiskError), Some(_)) => found,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// As Firecracker 1.16.1 writes them.
    fn line(request: &str, code: i32) -> String {
        format!(
            "2026-11-29T17:40:00.123456789 [4711:fc_vcpu 0] Failed to execute {request} virtio block request: \
             FileEngine(Sync(Transfer(IOError(Os {{ code: {code}, kind: StorageFull, message: \"…\" }}))))\n"
        )
    }

    #[test]
    fn failed_writes_are_told_and_a_full_disk_first() {
        let (full, error) = (Some(DiskTrouble::HostDiskFull), Some(DiskTrouble::HostDiskError));
        let partial =
            "Failed to execute Out virtio block request: PartialTransfer { completed: 1, expected: 2 }\n";
        for (lines, told) in [
            (line("Out", 28), full),
            (line("Flush", 28), full),
            (line("Out", 5), error),
            (line("Out", 122), error),
            (partial.to_owned(), error),
            (line("Out", 5) + &line("Out", 28) + &line("Out", 5), full),
            (line("In", 5), None),
            ("Failed to parse available descriptor chain: code: 28,\n".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(trouble_in(&lines), told, "{lines}");
        }
    }

    #[test]
    fn only_what_was_added_is_read_and_half_a_line_waits() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("firecracker.log");
        let mut file = File::create(&log).unwrap();
        let mut reader = Reader { log: log.clone(), read_bytes: 0 };
        assert!(!reader.has_more());
        file.write_all(line("Out", 5).as_bytes()).unwrap();
        assert!(reader.has_more());
        assert_eq!(reader.read().unwrap(), Some(DiskTrouble::HostDiskError));
        assert!(!reader.has_more());
        let full = line("Out", 28);
        let (half, rest) = full.split_at(60);
        file.write_all(half.as_bytes()).unwrap();
        assert_eq!(reader.read().unwrap(), None);
        file.write_all(rest.as_bytes()).unwrap();
        assert_eq!(reader.read().unwrap(), Some(DiskTrouble::HostDiskFull));
        // Emptied by whoever keeps it short, then written to where its writer was.
        File::options().write(true).open(&log).unwrap().set_len(0).unwrap();
        assert_eq!(reader.read().unwrap(), None);
        file.write_all(&vec![b'x'; usize::try_from(PART_BYTES_MAX).unwrap()]).unwrap();
        file.write_all(line("Out", 28).as_bytes()).unwrap();
        assert_eq!(reader.read().unwrap(), Some(DiskTrouble::HostDiskFull));
        assert!(!reader.has_more());
    }

    #[test]
    fn a_link_in_place_of_the_log_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("firecracker.log");
        std::os::unix::fs::symlink("/etc/passwd", &log).unwrap();
        assert!(Reader { log, read_bytes: 0 }.read().is_err());
    }

    #[tokio::test]
    async fn what_an_older_daemon_has_seen_is_seen_again() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("firecracker.log");
        std::fs::write(&log, line("Out", 28)).unwrap();
        let (mut trouble, _task) = watch(log);
        let told = trouble.wait_for(Option::is_some).await.unwrap();
        assert_eq!(*told, Some(DiskTrouble::HostDiskFull));
    }
}
