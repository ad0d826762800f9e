//! Room for the database on a full disk. Stopping, killing and deleting are writes, too, and they are what makes room:
//! they must not fail because a guest has filled the disk.
//!
//! - The database's log has its blocks before it needs them, so that nobody else can take them. Every change goes there
//!   first; it reaches the database itself when there is room again.
//! - A file beside the database holds blocks for whatever still finds none: the files of an opening, a full table of
//!   inodes, a file system that copies on write. It is given up then, and made again when there is room.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use banger_sys::files::{allocate, remove_any};
use rusqlite::ErrorCode;

/// Blocks of the log: twice what SQLite lets gather before it moves it into the database (1000 pages).
const LOG_BYTES: u64 = 8 << 20;
/// Blocks of the file that is given up.
const FILE_BYTES: u64 = 1 << 20;

/// What is kept for one database.
pub(crate) struct Reserve {
    log: PathBuf,
    file: PathBuf,
    is_whole: AtomicBool,
}

impl Reserve {
    /// The reserve of the database at `path`, as it is now.
    pub(crate) fn of(path: &Path) -> Self {
        let beside = |suffix: &str| {
            let mut name: OsString = path.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        Self { log: beside("-wal"), file: beside("-reserve"), is_whole: AtomicBool::new(false) }
    }

    /// Makes whole what was given up. Without room for it, it is tried again after the next change.
    pub(crate) fn keep(&self) {
        if self.is_whole.load(Ordering::Relaxed) {
            return;
        }
        let kept = allocate(&self.log, LOG_BYTES).and_then(|()| allocate(&self.file, FILE_BYTES));
        self.is_whole.store(kept.is_ok(), Ordering::Relaxed);
    }

    /// Gives room back to the file system; tells whether there was anything to give.
    pub(crate) fn give_up(&self) -> bool {
        let was_there = self.file.exists();
        self.is_whole.store(false, Ordering::Relaxed);
        was_there && remove_any(&self.file).is_ok()
    }
}

/// Tells whether more room may help. A full disk is told as such; a quota as a failed write, and a full table of inodes
/// as a file that cannot be opened.
pub(crate) fn may_want_room(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure | ErrorCode::CannotOpen)
    )
}
