//! Directories: names in one block, or in several with an index (kernel `ext4/directory.rst`).

use crate::disk::checksum::Checksum;
use crate::error::FormatError;
use crate::write::htree;
use crate::write::inode::FileType;
use crate::write::name_block::{DirectoryEntry, Dots, NameBlock};

/// The blocks of a directory, in order.
#[derive(Debug)]
pub(crate) struct DirectoryBlocks {
    pub(crate) bytes: Vec<u8>,
    pub(crate) has_index: bool,
}

/// Encodes the blocks of a directory.
pub(crate) fn encode(
    dots: Dots,
    entries: &[DirectoryEntry<'_>],
    hash_seed: &[u8; 16],
    seed: Checksum,
) -> Result<DirectoryBlocks, FormatError> {
    let mut single = NameBlock::default();
    let mut fits =
        single.push(DirectoryEntry { name: b".", inode: dots.own, file_type: FileType::Directory })
            && single.push(DirectoryEntry {
                name: b"..",
                inode: dots.parent,
                file_type: FileType::Directory,
            });
    for entry in entries {
        fits = fits && single.push(*entry);
    }
    if fits {
        return Ok(DirectoryBlocks { bytes: single.finish(seed), has_index: false });
    }
    Ok(DirectoryBlocks { bytes: htree::encode(dots, entries, hash_seed, seed)?, has_index: true })
}
