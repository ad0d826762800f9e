//! What the targets share: a place for files, and a look at what is in it.

use std::fs;
use std::path::{Path, PathBuf};

use banger_ext4::{EntryBody, Ext4Reader, ReadError};
use tempfile::TempDir;

/// No file of a fuzzed file system is read further than this.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Name of the file that is parsed.
const INPUT: &str = "input";

/// A directory of one run, in memory.
#[must_use]
pub fn place() -> TempDir {
    tempfile::tempdir_in("/dev/shm").expect("a directory in memory")
}

/// Puts the bytes into a file.
#[must_use]
pub fn file(place: &TempDir, bytes: &[u8]) -> PathBuf {
    let path = place.path().join(INPUT);
    fs::write(&path, bytes).expect("memory for a file");
    path
}

/// Fails when something stands beside the input and the directory that was given.
pub fn assert_only_inside(place: &TempDir) {
    for entry in fs::read_dir(place.path()).expect("it is there") {
        let name = entry.expect("it can be read").file_name();
        assert!(name == INPUT || name == "inside", "{} was written outside", name.display());
    }
}

/// Reads everything that a file system has.
///
/// # Errors
/// [`ReadError`]: what was damaged first.
pub fn read_all(disk: &Path) -> Result<(), ReadError> {
    let reader = Ext4Reader::open(disk)?;
    for entry in reader.tree(b"")? {
        match entry.entry.body {
            EntryBody::File { .. } => match reader.read(&entry.path, FILE_BYTES_MAX) {
                Err(ReadError::TooLarge { .. }) => {}
                content => drop(content?),
            },
            EntryBody::Directory
            | EntryBody::Symlink(_)
            | EntryBody::CharDevice { .. }
            | EntryBody::BlockDevice { .. }
            | EntryBody::Fifo
            | EntryBody::Socket => {}
        }
    }
    Ok(())
}
