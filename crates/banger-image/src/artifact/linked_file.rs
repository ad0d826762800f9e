//! A file of the host that was registered where it is: what it was then, so that a change is noticed at each use.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A file of the host, as it was when it was registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkedFile {
    /// Where it is; absolute.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// Time of its last change, seconds and nanoseconds since the Unix epoch.
    pub modified: (i64, i64),
}

impl LinkedFile {
    /// Looks at a file.
    ///
    /// # Errors
    /// As `stat(2)`; and when it is no regular file.
    pub fn look(path: &Path) -> io::Result<Self> {
        let found = fs::metadata(path)?;
        if !found.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        Ok(Self { path: path.to_owned(), size: found.len(), modified: (found.mtime(), found.mtime_nsec()) })
    }

    /// Tells whether the file is still what was registered.
    ///
    /// # Errors
    /// As `stat(2)`.
    pub fn is_unchanged(&self) -> io::Result<bool> {
        Self::look(&self.path).map(|now| now == *self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_size_or_time_is_a_change_and_a_directory_is_no_file() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("rootfs.ext4");
        fs::write(&path, "one").unwrap();
        let file = LinkedFile::look(&path).unwrap();
        assert!(file.is_unchanged().unwrap());
        let opened = fs::File::options().write(true).open(&path).unwrap();
        opened.set_modified(std::time::UNIX_EPOCH).unwrap();
        assert!(!file.is_unchanged().unwrap());
        fs::remove_file(&path).unwrap();
        assert_eq!(file.is_unchanged().unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(LinkedFile::look(home.path()).is_err());
    }
}
