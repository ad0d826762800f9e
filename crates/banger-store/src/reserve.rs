//! Reserved space for the database on a full disk. Stopping, killing and deleting free space, but they write as well, and
//! must not fail because a guest has filled the disk.
//!
//! - The blocks of the database's log are allocated in advance, so that nobody else can take them. Every change goes there
//!   first, and reaches the database itself when there is space again.
//! - A file beside the database holds blocks for writes that still find no space: the files of an opening, a full table of
//!   inodes, a file system that copies on write. The file is then removed, and made again when there is space.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use banger_sys::files::{allocate, remove_any};
use rusqlite::ErrorCode;

/// Size of the log: twice what SQLite collects before it moves the log into the database (1000 pages).
const LOG_BYTES: u64 = 8 << 20;
/// Size of the file that can be removed.
const FILE_BYTES: u64 = 1 << 20;

/// The reserve of one database.
pub(crate) struct Reserve {
    log: PathBuf,
    file: PathBuf,
    is_whole: AtomicBool,
}

impl Reserve {
    /// Returns the reserve of the database at `path`, in its current state.
    pub(crate) fn of(path: &Path) -> Self {
        let beside = |suffix: &str| {
            let mut name: OsString = path.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        Self { log: beside("-wal"), file: beside("-reserve"), is_whole: AtomicBool::new(false) }
    }

    /// Restores the reserve. If there is no space for it, the next change tries again.
    pub(crate) fn keep(&self) {
        if self.is_whole.load(Ordering::Relaxed) {
            return;
        }
        let kept = allocate(&self.log, LOG_BYTES).and_then(|()| allocate(&self.file, FILE_BYTES));
        self.is_whole.store(kept.is_ok(), Ordering::Relaxed);
    }

    /// Returns the reserved space to the file system; tells whether there was any.
    pub(crate) fn give_up(&self) -> bool {
        let was_there = self.file.exists();
        self.is_whole.store(false, Ordering::Relaxed);
        was_there && remove_any(&self.file).is_ok()
    }
}

/// Tells whether more space may help. A full disk is reported as such, a quota as a failed write, and a full table of inodes
/// as a file that cannot be opened.
pub(crate) fn may_want_room(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure | ErrorCode::CannotOpen)
    )
}
