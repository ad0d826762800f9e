//! Who holds a daemon's lock: the daemon writes itself into the lock file, so that commands which cannot find its socket can
//! find its process.
//!
//! ```text
//! pid 4711
//! start_ticks 123456
//! socket /run/user/1000/banger/bangerd.sock
//! ```
//!
//! The last line is there only while the daemon listens.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::files::open_regular;
use crate::lock::{FileLock, is_held};
use crate::process::ProcessIdentity;

/// Longest content that is read: a path and two numbers.
const CONTENT_BYTES_MAX: u64 = 8 * 1024;

/// The daemon that holds a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockHolder {
    /// Its process.
    pub process: ProcessIdentity,
    /// Where it says that it listens; `None` while it starts or ends.
    pub socket: Option<PathBuf>,
}

impl LockHolder {
    /// This process, as the holder of a lock.
    #[must_use]
    pub fn ourselves(socket: Option<&Path>) -> Option<Self> {
        let process = ProcessIdentity::of(std::process::id())?;
        Some(Self { process, socket: socket.map(Path::to_owned) })
    }

    /// Reads who holds a lock. What the file says counts only while that very process runs and the lock is held: `None` for
    /// everything else, also for a holder that has not yet said who it is.
    ///
    /// # Errors
    /// As `open(2)`, `read(2)` and `flock(2)`; [`io::ErrorKind::InvalidInput`] for what is not a regular file.
    pub fn of(lock: &Path) -> io::Result<Option<Self>> {
        let file = match open_regular(lock) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let mut content = Vec::new();
        (&file).take(CONTENT_BYTES_MAX).read_to_end(&mut content)?;
        let Some(holder) = Self::parse(&content).filter(|holder| holder.process.is_alive()) else {
            return Ok(None);
        };
        // Asked last: for the moment that it takes, asking would keep a daemon that is just starting from its lock.
        Ok(is_held(&file)?.then_some(holder))
    }

    /// Writes it into the file of its lock.
    ///
    /// # Errors
    /// As `ftruncate(2)` and `pwrite(2)`.
    pub fn write(&self, lock: &FileLock) -> io::Result<()> {
        lock.write(&self.to_bytes())
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut text = String::new();
        let _ = writeln!(text, "pid {}\nstart_ticks {}", self.process.pid, self.process.start_ticks);
        let mut content = text.into_bytes();
        if let Some(socket) = &self.socket {
            content.extend_from_slice(b"socket ");
            content.extend_from_slice(socket.as_os_str().as_bytes());
            content.push(b'\n');
        }
        content
    }

    /// A content that was read while it was being written has no holder, or one that does not listen.
    fn parse(content: &[u8]) -> Option<Self> {
        let (pid, rest) = number(content, b"pid ")?;
        let (start_ticks, rest) = number(rest, b"start_ticks ")?;
        let socket = rest.strip_prefix(b"socket ").and_then(|path| path.strip_suffix(b"\n"));
        let socket = socket.map(|path| PathBuf::from(OsStr::from_bytes(path)));
        Some(Self { process: ProcessIdentity { pid: pid.try_into().ok()?, start_ticks }, socket })
    }
}

/// The number in the first line, and what follows that line.
fn number<'a>(content: &'a [u8], key: &[u8]) -> Option<(u64, &'a [u8])> {
    let content = content.strip_prefix(key)?;
    let end = content.iter().position(|byte| *byte == b'\n')?;
    let (digits, rest) = content.split_at_checked(end)?;
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, rest.get(1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_read_as_it_was_written_and_a_torn_one_is_not() {
        let process = ProcessIdentity { pid: 7, start_ticks: 99 };
        let odd = PathBuf::from(OsStr::from_bytes(b"/a \n\xff/s"));
        for socket in [None, Some(odd)] {
            let holder = LockHolder { process, socket };
            assert_eq!(LockHolder::parse(&holder.to_bytes()), Some(holder));
        }
        let whole = b"pid 7\nstart_ticks 99\n";
        for length in 0..whole.len() {
            assert_eq!(LockHolder::parse(&whole[..length]), None, "{length}");
        }
        let torn = LockHolder::parse(b"pid 7\nstart_ticks 99\nsocket /a/b").unwrap();
        assert_eq!(torn.socket, None);
        assert_eq!(LockHolder::parse(b"pid 4294967296\nstart_ticks 99\n"), None);
    }

    #[test]
    fn what_the_file_says_counts_only_while_the_lock_is_held_by_that_very_process() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        assert_eq!(LockHolder::of(&path).unwrap(), None);
        let lock = FileLock::try_acquire(&path).unwrap().unwrap();
        assert_eq!(LockHolder::of(&path).unwrap(), None);
        let ours = LockHolder::ourselves(Some(Path::new("/s"))).unwrap();
        ours.write(&lock).unwrap();
        assert_eq!(LockHolder::of(&path).unwrap(), Some(ours.clone()));
        let start_ticks = ours.process.start_ticks + 1;
        let other = LockHolder { process: ProcessIdentity { start_ticks, ..ours.process }, ..ours.clone() };
        other.write(&lock).unwrap();
        assert_eq!(LockHolder::of(&path).unwrap(), None);
        ours.write(&lock).unwrap();
        drop(lock);
        assert_eq!(LockHolder::of(&path).unwrap(), None);
        // To ask does not take the lock.
        assert!(FileLock::try_acquire(&path).unwrap().is_some());
    }
}
