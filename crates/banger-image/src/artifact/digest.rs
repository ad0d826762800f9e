//! The size and sha256 of a file, as manifests record them.

use std::fs::File;
use std::io;
use std::path::Path;

use banger_sys::id::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// What a manifest says about one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Lower-case hexadecimal.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
}

impl FileRecord {
    /// Reads a file to its end.
    pub(crate) fn of_file(path: &Path) -> io::Result<Self> {
        Self::of_content(File::open(path)?)
    }

    /// Reads to the end of what was opened.
    ///
    /// # Errors
    /// As reading does.
    pub fn of_content(mut content: impl io::Read) -> io::Result<Self> {
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 256 * 1024];
        let mut size = 0;
        loop {
            let count = content.read(&mut buffer)?;
            if count == 0 {
                return Ok(Self { sha256: hex(&hasher.finalize()), size });
            }
            hasher.update(buffer.get(..count).unwrap_or_default());
            size += count as u64;
        }
    }

    /// The record of a file with this content.
    pub(crate) fn of_bytes(content: &[u8]) -> Self {
        Self { sha256: sha256_hex(content), size: content.len() as u64 }
    }
}

/// Reads what is inside, and knows the sha256 of all that was read.
pub(crate) struct HashingReader<R> {
    inner: R,
    hasher: Sha256,
}

impl<R: io::Read> HashingReader<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, hasher: Sha256::new() }
    }

    /// Returns the sha256 of what was read, in lower-case hexadecimal.
    pub(crate) fn sha256(self) -> String {
        hex(&self.hasher.finalize())
    }
}

impl<R: io::Read> io::Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

/// Returns the sha256 in lower-case hexadecimal.
pub(crate) fn sha256_hex(content: &[u8]) -> String {
    hex(&Sha256::digest(content))
}

/// Returns 16 bytes that depend on nothing but the text: identities of reproducible file systems.
pub(crate) fn stable_id(text: &str) -> [u8; 16] {
    let digest = Sha256::digest(text.as_bytes());
    std::array::from_fn(|place| digest.get(place).copied().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_and_its_bytes_have_the_same_record() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abc").unwrap();
        let record = FileRecord::of_file(file.path()).unwrap();
        assert_eq!(record, FileRecord::of_bytes(b"abc"));
        assert_eq!(record.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
