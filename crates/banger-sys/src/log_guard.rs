//! Keeps a machine's logs from filling the disk: the output of the guest's console, of the VMM and of the processes beside
//! it.
//!
//! These processes write to the files themselves, so nothing is lost while no daemon runs. A log that has grown too long is
//! copied to `<name>.1` and truncated; its writers continue at its new end. Output between the two steps is lost. The daemon
//! guards the logs of the machines that it holds, and so does the network process of a machine, which outlives the daemon.
//!
//! Firecracker does not append to its log but writes where it last stopped, so a truncated log begins with a hole. Therefore
//! the space that a log takes on the disk counts, not its length, and holes are not copied.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, SeekFrom as RawSeekFrom, flock};
use rustix::io::Errno;
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use crate::full_disk::is_disk_full;

const BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Unit of `st_blocks`: `stat(2)`.
const BLOCK_BYTES: u64 = 512;
const PERIOD: Duration = Duration::from_secs(10);
/// Extension of a machine's logs. The older part of a log has another one.
const LOG_EXTENSION: &str = "log";

/// Guards one log, whose writers append, until the handle is dropped.
pub fn spawn(log: PathBuf) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if is_long(&log) {
                let path = log.clone();
                let rotated = tokio::task::spawn_blocking(move || shorten(&path)).await;
                if let Ok(Err(error)) = rotated {
                    warn!(path = %log.display(), %error, "cannot shorten a log of the machine");
                }
            }
        }
    }))
}

/// Keeps all logs in a machine's state directory short for as long as this process lives.
pub fn keep_short(directory: &Path) -> ! {
    loop {
        shorten_all(directory);
        std::thread::sleep(PERIOD);
    }
}

/// Shortens every log that has grown too long. Failures are reported on standard error.
fn shorten_all(directory: &Path) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for log in entries.map(|entry| entry.path()).filter(|path| is_log(path) && is_long(path)) {
        if let Err(error) = shorten(&log) {
            eprintln!("cannot shorten `{}`: {error}", log.display());
        }
    }
}

fn is_log(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == LOG_EXTENSION)
}

/// A missing file needs no shortening.
fn is_long(log: &Path) -> bool {
    fs::symlink_metadata(log).is_ok_and(|metadata| metadata.blocks() * BLOCK_BYTES > BYTES_MAX)
}

/// Shortens a log unless another guard has done so, or is about to.
fn shorten(log: &Path) -> io::Result<()> {
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(log)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) if is_long(log) => rotate(file, log),
        Ok(()) | Err(Errno::WOULDBLOCK) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Returns the name of the older part of a log.
fn older_part(log: &Path) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

fn rotate(mut writable: File, log: &Path) -> io::Result<()> {
    let start = first_data(&writable)?;
    writable.seek(SeekFrom::Start(start))?;
    let mut older =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(older_part(log))?;
    match io::copy(&mut writable, &mut older) {
        // There is no space for both: the older part is dropped, so that the log does not grow further.
        Err(error) if is_disk_full(&error) => older.set_len(0)?,
        copied => drop(copied?),
    }
    writable.set_len(0)
}

/// Returns where the hole at the beginning ends: 0 if there is none, or if the file system does not report holes.
fn first_data(file: &File) -> io::Result<u64> {
    match rustix::fs::seek(file, RawSeekFrom::Data(0)) {
        Ok(start) => Ok(start),
        Err(Errno::INVAL | Errno::NXIO) => Ok(0),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn create(log: &Path) -> File {
        OpenOptions::new().append(true).create_new(true).open(log).unwrap()
    }

    fn open(log: &Path) -> File {
        OpenOptions::new().read(true).write(true).open(log).unwrap()
    }

    #[test]
    fn a_writer_goes_on_at_the_new_end() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("console.log");
        let mut writer = create(&log);
        writer.write_all(b"old\n").unwrap();
        rotate(open(&log), &log).unwrap();
        writer.write_all(b"new\n").unwrap();
        assert_eq!(fs::read(&log).unwrap(), b"new\n");
        assert_eq!(fs::read(directory.path().join("console.log.1")).unwrap(), b"old\n");
    }

    #[test]
    fn a_writer_that_does_not_append_leaves_a_hole_that_is_not_kept() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("firecracker.log");
        let mut writer = File::create(&log).unwrap();
        writer.write_all(&vec![b'x'; 1 << 20]).unwrap();
        rotate(open(&log), &log).unwrap();
        writer.write_all(b"new\n").unwrap();
        assert!(fs::metadata(&log).unwrap().blocks() * BLOCK_BYTES < 1 << 20, "the hole counts");
        rotate(open(&log), &log).unwrap();
        let kept = fs::read(directory.path().join("firecracker.log.1")).unwrap();
        assert!(kept.len() < 1 << 20 && kept.ends_with(b"new\n"), "{}", kept.len());
    }

    #[test]
    fn two_guards_shorten_a_log_once_and_none_follows_a_link() {
        let directory = tempfile::tempdir().unwrap();
        let [log, link] = ["console.log", "vmm.log"].map(|name| directory.path().join(name));
        let limit = usize::try_from(BYTES_MAX).unwrap();
        fs::write(&log, vec![b'x'; limit + 8192]).unwrap();
        let other = open(&log);
        flock(&other, FlockOperation::LockExclusive).unwrap();
        shorten(&log).unwrap();
        assert_eq!(fs::metadata(&log).unwrap().len(), BYTES_MAX + 8192, "the other guard is at it");
        std::os::unix::fs::symlink(&log, &link).unwrap();
        assert!(shorten(&link).is_err());
        drop(other);
        shorten(&log).unwrap();
        fs::write(&log, "new").unwrap();
        shorten(&log).unwrap();
        assert_eq!(fs::read(&log).unwrap(), b"new");
        assert_eq!(fs::metadata(directory.path().join("console.log.1")).unwrap().len(), BYTES_MAX + 8192);
    }

    #[test]
    fn every_log_of_a_directory_is_shortened_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let long = usize::try_from(BYTES_MAX).unwrap() + 8192;
        for name in ["console.log", "firecracker.log", "overlay.ext4", "log"] {
            fs::write(path(name), vec![b'x'; long]).unwrap();
        }
        fs::write(path("vmm.log"), "short").unwrap();
        shorten_all(directory.path());
        let length = |name: &str| fs::metadata(path(name)).unwrap().len();
        assert_eq!([length("console.log"), length("firecracker.log"), length("vmm.log")], [0, 0, 5]);
        assert_eq!([length("overlay.ext4"), length("log")], [long as u64; 2]);
        shorten_all(&path("nowhere"));
    }

    #[tokio::test]
    async fn only_a_log_that_is_too_long_is_shortened() {
        let directory = tempfile::tempdir().unwrap();
        let (short, long) = (directory.path().join("console.log"), directory.path().join("vmm.log"));
        let fill = |log: &Path, bytes: usize| {
            create(log).write_all(&vec![b'x'; bytes]).unwrap();
        };
        let limit = usize::try_from(BYTES_MAX).unwrap();
        fill(&short, limit / 2);
        fill(&long, limit + 8192);
        // The first check is immediate.
        let _guards = [spawn(short.clone()), spawn(long.clone())];
        while fs::metadata(&long).unwrap().len() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(fs::metadata(&short).unwrap().len(), BYTES_MAX / 2);
        assert_eq!(fs::metadata(directory.path().join("vmm.log.1")).unwrap().len(), BYTES_MAX + 8192);
    }
}
