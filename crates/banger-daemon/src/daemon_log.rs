//! The daemon's log: one JSON object per line. A disk that is full, and a daemon that is killed, may leave a part of a line
//! behind; the next line begins on one of its own all the same.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use banger_sys::full_disk::is_disk_full;

/// Size at which the log is moved aside when the daemon starts.
const LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Takes whole lines, one per call of [`Write::write`].
#[derive(Debug)]
pub struct LineLog<W> {
    lines: W,
    is_torn: bool,
}

impl LineLog<File> {
    /// Opens the log at a path for appending.
    ///
    /// # Errors
    /// Of the file system. On a full disk there is no log: a daemon is what makes room.
    pub fn open(path: &Path) -> io::Result<Self> {
        if std::fs::metadata(path).is_ok_and(|log| log.len() > LOG_BYTES_MAX) {
            std::fs::rename(path, path.with_extension("log.1"))?;
        }
        match OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(path) {
            Ok(mut log) => Ok(Self { is_torn: is_torn(&mut log)?, lines: log }),
            Err(error) if is_disk_full(&error) => {
                let nothing = OpenOptions::new().append(true).open("/dev/null")?;
                Ok(Self { lines: nothing, is_torn: false })
            }
            Err(error) => Err(error),
        }
    }
}

impl LineLog<File> {
    /// Makes the log take what a dying process says (an overflowed stack, a panic of a thread), if nobody else does: the client
    /// that starts a daemon throws its standard error away.
    ///
    /// # Errors
    /// Of the file system.
    pub fn take_last_words(&self) -> io::Result<()> {
        let nowhere = std::fs::metadata("/dev/null")?.rdev();
        if rustix::fs::fstat(io::stderr())?.st_rdev == nowhere {
            rustix::stdio::dup2_stderr(&self.lines)?;
        }
        Ok(())
    }
}

impl<W: Write> Write for LineLog<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.is_torn {
            self.lines.write_all(b"\n")?;
            self.is_torn = false;
        }
        let mut written = 0;
        while let Some(rest) = line.get(written..).filter(|rest| !rest.is_empty()) {
            match self.lines.write(rest) {
                Ok(0) => return self.torn_after(written, io::ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.torn_after(written, error),
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.lines.flush()
    }
}

impl<W> LineLog<W> {
    fn torn_after(&mut self, written: usize, error: io::Error) -> io::Result<usize> {
        self.is_torn = written > 0;
        Err(error)
    }
}

fn is_torn(log: &mut File) -> io::Result<bool> {
    if log.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    log.seek(SeekFrom::End(-1))?;
    log.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with room for this many bytes.
    struct Disk {
        room: usize,
        bytes: Vec<u8>,
    }

    impl Write for &mut Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.room);
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room -= count;
            self.bytes.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_after_a_torn_one_begins_on_its_own() {
        let mut disk = Disk { room: 12, bytes: Vec::new() };
        let mut log = LineLog { lines: &mut disk, is_torn: false };
        log.write_all(b"{\"a\":1}\n").unwrap();
        for _ in 0..3 {
            assert_eq!(log.write_all(b"{\"b\":2}\n").unwrap_err().kind(), io::ErrorKind::StorageFull);
        }
        log.lines.room = 100;
        log.write_all(b"{\"c\":3}\n").unwrap();
        log.write_all(b"{\"d\":4}\n").unwrap();
        assert_eq!(disk.bytes, b"{\"a\":1}\n{\"b\"\n{\"c\":3}\n{\"d\":4}\n");
    }

    #[test]
    fn a_line_that_found_no_room_at_all_leaves_nothing() {
        let mut disk = Disk { room: 0, bytes: Vec::new() };
        let mut log = LineLog { lines: &mut disk, is_torn: false };
        log.write_all(b"{\"a\":1}\n").unwrap_err();
        log.lines.room = 100;
        log.write_all(b"{\"b\":2}\n").unwrap();
        assert_eq!(disk.bytes, b"{\"b\":2}\n");
    }

    #[test]
    fn the_next_daemon_ends_what_a_killed_one_began() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bangerd.log");
        for (before, after) in [("", "new\n"), ("old\n", "old\nnew\n"), ("ol", "ol\nnew\n")] {
            std::fs::write(&path, before).unwrap();
            LineLog::open(&path).unwrap().write_all(b"new\n").unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), after);
        }
    }
}
