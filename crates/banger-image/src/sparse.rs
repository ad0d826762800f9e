//! Files in which blocks of zeros take no room.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::digest::{FileRecord, hex};

const CHUNK_BYTES: usize = 256 << 10;
/// Blocks of zeros of this size become holes: the block of most file systems.
const HOLE_BYTES: usize = 4 << 10;

/// Writes all of a content to a new file and returns its record.
pub(crate) fn copy_sparse(mut content: impl Read, path: &Path) -> io::Result<FileRecord> {
    let mut file = File::create_new(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut size = 0;
    loop {
        let count = content.read(&mut buffer)?;
        if count == 0 {
            file.set_len(size)?;
            file.sync_all()?;
            return Ok(FileRecord { sha256: hex(&hasher.finalize()), size });
        }
        let chunk = buffer.get(..count).unwrap_or_default();
        hasher.update(chunk);
        write_sparse(&mut file, chunk)?;
        size += count as u64;
    }
}

/// Writes bytes, and leaves out blocks of zeros. A file that ends with such a block still needs its length.
pub(crate) fn write_sparse(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    let is_hole = |block: &[u8]| block.iter().all(|byte| *byte == 0);
    let blocks: Vec<&[u8]> = bytes.chunks(HOLE_BYTES).collect();
    for run in blocks.chunk_by(|one, next| is_hole(one) == is_hole(next)) {
        let is_empty = run.first().is_none_or(|block| is_hole(block));
        let length = run.iter().map(|block| block.len()).sum::<usize>();
        if is_empty {
            file.seek(SeekFrom::Current(i64::try_from(length).unwrap_or_default()))?;
        } else {
            file.write_all(&run.concat())?;
        }
    }
    Ok(())
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
