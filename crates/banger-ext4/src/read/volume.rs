//! The file that contains the file system: access to blocks by number, within its bounds.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::error::ReadError;
use super::superblock::{self, Superblock, Unusable};

/// An open file system.
#[derive(Debug)]
pub(super) struct Volume {
    file: File,
    path: PathBuf,
    pub(super) superblock: Superblock,
}

impl Volume {
    pub(super) fn open(path: &Path) -> Result<Self, ReadError> {
        let path = path.to_owned();
        let failed = |source| ReadError::Open { path: path.clone(), source };
        let file = File::open(&path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let mut bytes = [0; superblock::SIZE];
        if file.read_exact_at(&mut bytes, superblock::OFFSET).is_err() {
            return Err(ReadError::NotExt4 { path });
        }
        match Superblock::parse(&bytes) {
            Ok(superblock) if superblock.blocks.saturating_mul(superblock.block_size.into()) > length => {
                Err(ReadError::Damaged { path, reason: "its end is missing" })
            }
            Ok(superblock) => Ok(Self { file, path, superblock }),
            Err(Unusable::NotExt4) => Err(ReadError::NotExt4 { path }),
            Err(Unusable::NotClean) => Err(ReadError::NotClean { path }),
            Err(Unusable::Feature(feature)) => Err(ReadError::Feature { path, feature }),
            Err(Unusable::Damaged(reason)) => Err(ReadError::Damaged { path, reason }),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn damaged(&self, reason: &'static str) -> ReadError {
        ReadError::Damaged { path: self.path.clone(), reason }
    }

    /// Fills the buffer from an offset; the range must lie inside the file system.
    pub(super) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let end = offset.checked_add(buffer.len() as u64);
        let size = self.superblock.blocks.saturating_mul(self.superblock.block_size.into());
        if end.is_none_or(|end| end > size) {
            return Err(self.damaged("a block number is out of range"));
        }
        self.file
            .read_exact_at(buffer, offset)
            .map_err(|source| ReadError::Read { path: self.path.clone(), source })
    }

    pub(super) fn block(&self, number: u64) -> Result<Vec<u8>, ReadError> {
        let mut block = vec![0; self.superblock.block_size as usize];
        self.read_at(number.saturating_mul(self.superblock.block_size.into()), &mut block)?;
        Ok(block)
    }
}
