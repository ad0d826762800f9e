//! Shared parts of the targets: a directory for files, and a check of its contents.

use std::fs;
use std::path::{Path, PathBuf};

use banger_ext4::{EntryBody, Ext4Reader, ReadError};
use tempfile::TempDir;

/// Maximum number of bytes that are read from a file of a fuzzed file system.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Name of the file that is parsed.
const INPUT: &str = "input";

/// Makes a directory in memory for one run.
#[must_use]
pub fn place() -> TempDir {
    tempfile::tempdir_in("/dev/shm").expect("a directory in memory")
}

/// Writes the bytes to a file.
#[must_use]
pub fn file(place: &TempDir, bytes: &[u8]) -> PathBuf {
    let path = place.path().join(INPUT);
    fs::write(&path, bytes).expect("memory for a file");
    path
}

/// Fails if there is anything besides the input and the given directory.
pub fn assert_only_inside(place: &TempDir) {
    for entry in fs::read_dir(place.path()).expect("it is there") {
        let name = entry.expect("it can be read").file_name();
        assert!(name == INPUT || name == "inside", "{} was written outside", name.display());
    }
}

/// Reads everything that a file system contains.
///
/// # Errors
/// [`ReadError`]: the first damage that was found.
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
