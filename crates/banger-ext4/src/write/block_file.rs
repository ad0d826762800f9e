//! The file that becomes the disk. Adjacent blocks are collected into large writes; blocks that are never written stay
//! holes.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use crate::disk::bytes::disk_len;
use crate::disk::geometry::{BLOCK_BYTES, BLOCK_SIZE};
use crate::error::FormatError;

const GATHER_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct BlockFile {
    file: File,
    path: PathBuf,
    gathered: Vec<u8>,
    gathered_at: u64,
}

impl BlockFile {
    pub(crate) fn create(path: &Path) -> Result<Self, FormatError> {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path);
        let file = file.map_err(|source| FormatError::CreateFile { path: path.to_owned(), source })?;
        Ok(Self { file, path: path.to_owned(), gathered: Vec::with_capacity(GATHER_BYTES), gathered_at: 0 })
    }

    /// Writes from the start of a block; the rest of the last block becomes zero.
    pub(crate) fn write(&mut self, block: u64, bytes: &[u8]) -> Result<(), FormatError> {
        let offset = block * BLOCK_BYTES;
        let continues = self.gathered_at + disk_len(self.gathered.len()) == offset;
        if !continues || self.gathered.len() + bytes.len() > GATHER_BYTES {
            self.flush()?;
            self.gathered_at = offset;
        }
        self.gathered.extend_from_slice(bytes);
        let padded = self.gathered.len().next_multiple_of(BLOCK_SIZE);
        self.gathered.resize(padded, 0);
        Ok(())
    }

    /// Writes after the last block that the disk can have. Data set aside there is cut off when the file gets its final
    /// size.
    pub(crate) fn set_aside(&self, offset: u64, bytes: &[u8]) -> Result<(), FormatError> {
        self.file
            .write_all_at(bytes, offset)
            .map_err(|source| FormatError::WriteFile { path: self.path.clone(), source })
    }

    /// Reads data that was set aside.
    pub(crate) fn take_back(&self, offset: u64, into: &mut [u8]) -> Result<(), FormatError> {
        self.file
            .read_exact_at(into, offset)
            .map_err(|source| FormatError::WriteFile { path: self.path.clone(), source })
    }

    /// Returns blocks that are no longer needed to the host. If the host's file system cannot do this, they stay allocated.
    pub(crate) fn punch(&mut self, block: u64, blocks: u64) -> Result<(), FormatError> {
        self.flush()?;
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fallocate(&self.file, flags, block * BLOCK_BYTES, blocks * BLOCK_BYTES) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(errno) => Err(FormatError::WriteFile { path: self.path.clone(), source: errno.into() }),
        }
    }

    /// Gives the file its final size and syncs it to stable storage.
    pub(crate) fn finish(mut self, size_bytes: u64) -> Result<(), FormatError> {
        self.flush()?;
        self.file
            .set_len(size_bytes)
            .map_err(|source| FormatError::WriteFile { path: self.path.clone(), source })?;
        self.file.sync_all().map_err(|source| FormatError::SyncFile { path: self.path.clone(), source })
    }

    fn flush(&mut self) -> Result<(), FormatError> {
        self.file
            .write_all_at(&self.gathered, self.gathered_at)
            .map_err(|source| FormatError::WriteFile { path: self.path.clone(), source })?;
        self.gathered.clear();
        Ok(())
    }
}
