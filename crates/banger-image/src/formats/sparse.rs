//! Files in which blocks of zeros take no room.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use banger_sys::id::hex;
use sha2::{Digest as _, Sha256};

use crate::artifact::digest::FileRecord;

const CHUNK_BYTES: usize = 256 << 10;
/// Blocks of zeros of this size become holes: the block of most file systems.
const HOLE_BYTES: usize = 4 << 10;

/// A new file that leaves out blocks of zeros, and knows its record.
pub(crate) struct SparseFile {
    file: File,
    hasher: Sha256,
    size: u64,
}

impl SparseFile {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::create_new(path)?, hasher: Sha256::new(), size: 0 })
    }

    /// Appends bytes.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        let is_hole = |block: &[u8]| block.iter().all(|byte| *byte == 0);
        let blocks: Vec<&[u8]> = bytes.chunks(HOLE_BYTES).collect();
        for run in blocks.chunk_by(|one, next| is_hole(one) == is_hole(next)) {
            let is_empty = run.first().is_none_or(|block| is_hole(block));
            let length = run.iter().map(|block| block.len()).sum::<usize>();
            if is_empty {
                self.file.seek(SeekFrom::Current(i64::try_from(length).unwrap_or_default()))?;
            } else {
                self.file.write_all(&run.concat())?;
            }
        }
        Ok(())
    }

    /// Gives the file its length, which a hole at its end has not given it.
    pub(crate) fn finish(self) -> io::Result<FileRecord> {
        self.file.set_len(self.size)?;
        Ok(FileRecord { sha256: hex(&self.hasher.finalize()), size: self.size })
    }
}

/// Writes all of a content to a new file and returns its record.
pub(crate) fn copy_sparse(mut content: impl Read, path: &Path) -> io::Result<FileRecord> {
    let mut file = SparseFile::create(path)?;
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let count = content.read(&mut buffer)?;
        if count == 0 {
            return file.finish();
        }
        file.append(buffer.get(..count).unwrap_or_default())?;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_copy_is_equal_and_its_zeros_take_no_room() {
        let home = tempfile::tempdir().unwrap();
        let mut content = vec![0; 3 << 20];
        content[..5].copy_from_slice(b"begin");
        content[1 << 20] = 7;
        for length in [3 << 20, (3 << 20) - 1, 5, 0] {
            let content = &content[..length];
            let path = home.path().join(length.to_string());
            assert_eq!(copy_sparse(content, &path).unwrap(), FileRecord::of_bytes(content));
            assert_eq!(std::fs::read(&path).unwrap(), content);
            assert!(std::fs::metadata(&path).unwrap().blocks() * 512 <= 64 << 10, "{length}");
        }
    }

    #[test]
    fn a_file_that_is_there_stays() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("there");
        std::fs::write(&path, "mine").unwrap();
        assert_eq!(copy_sparse(&b"other"[..], &path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    }
}
