//! The resize inode, which claims the blocks that are reserved for descriptors of a grown disk, in all copies of the
//! superblock (kernel `ext4/special_inodes.rst`; the layout is the one that `ext4_resize_fs` and `resize2fs` check).
//!
//! Its one double-indirect block points to each reserved block after the primary superblock, and each of these points to its
//! counterparts after the other superblocks.

use crate::disk::bytes::{Record, clamp32};
use crate::disk::geometry::{BLOCK_BYTES, BLOCK_SIZE, Geometry};
use crate::error::FormatError;
use crate::write::attributes::Attributes;
use crate::write::block_file::BlockFile;
use crate::write::inode::{FileType, Inode};

const POINTERS: u64 = BLOCK_BYTES / 4;
/// The size of the largest file with direct, indirect and double-indirect blocks.
const SIZE: u64 = (POINTERS * POINTERS + POINTERS + 12) * BLOCK_BYTES;
const DOUBLE_INDIRECT: usize = 13 * 4;

/// Writes the blocks of pointers. Returns the inode.
pub(crate) fn write(
    geometry: &Geometry,
    pointer_block: u64,
    created_at: i64,
    file: &mut BlockFile,
) -> Result<Inode, FormatError> {
    let first = 1 + geometry.descriptor_blocks();
    let reserved = first..first + geometry.reserved_descriptor_blocks();
    let backups: Vec<u64> = geometry.backup_groups().map(Geometry::group_start).collect();
    let mut primary = Record::with_capacity(BLOCK_SIZE);
    for block in reserved.clone() {
        primary.at(usize::try_from(block - 1).unwrap_or(0) * 4).u32(clamp32(block));
    }
    file.write(pointer_block, primary.as_slice())?;
    if !backups.is_empty() {
        for block in reserved.clone() {
            let mut copies = Record::with_capacity(BLOCK_SIZE);
            for start in &backups {
                copies.u32(clamp32(start + block));
            }
            file.write(block, copies.as_slice())?;
        }
    }
    let mut block_map = Record::with_capacity(60);
    block_map.at(DOUBLE_INDIRECT).u32(clamp32(pointer_block)).at(60);
    let reserved_blocks = geometry.reserved_descriptor_blocks();
    Ok(Inode {
        file_type: FileType::Regular,
        attributes: Attributes::of_root(0o600, created_at),
        created_at,
        links: 1,
        size: SIZE,
        blocks: 1 + reserved_blocks * (1 + crate::disk::bytes::disk_len(backups.len())),
        flags: 0,
        block_map: block_map.into_bytes(),
        xattr_block: None,
        inline_xattrs: Vec::new(),
    })
}
