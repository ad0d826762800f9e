//! The location of inodes (kernel `ext4/group_descr.rst`).

use super::error::ReadError;
use super::fields::Fields;
use super::volume::Volume;
use crate::disk::bytes::low16;

const CHECKSUM_OFFSET: usize = 0x1e;
/// Descriptors of at least this size contain the upper halves of their numbers.
const WIDE_SIZE: usize = 64;

/// Returns the offset of an inode in the file.
pub(super) fn inode_offset(volume: &Volume, number: u32) -> Result<u64, ReadError> {
    let superblock = &volume.superblock;
    if number == 0 || number > superblock.inodes {
        return Err(volume.damaged("an inode number is out of range"));
    }
    let (group, index) =
        ((number - 1) / superblock.inodes_per_group, (number - 1) % superblock.inodes_per_group);
    let mut descriptor = vec![0; superblock.descriptor_size.into()];
    let descriptors = superblock.descriptors_block.saturating_mul(superblock.block_size.into());
    let offset = descriptors.saturating_add(u64::from(group) * u64::from(superblock.descriptor_size));
    volume.read_at(offset, &mut descriptor)?;
    let table = inode_table(volume, group, &descriptor)
        .ok_or_else(|| volume.damaged("the checksum of a group descriptor is wrong"))?;
    let inside = u64::from(index) * u64::from(superblock.inode_size);
    Ok(table.saturating_mul(superblock.block_size.into()).saturating_add(inside))
}

/// Returns `None` if the descriptor is damaged.
fn inode_table(volume: &Volume, group: u32, descriptor: &[u8]) -> Option<u64> {
    let fields = Fields::of(descriptor);
    if let Some(seed) = volume.superblock.seed {
        let checksum = seed
            .with_u32(group)
            .with(fields.slice(0, CHECKSUM_OFFSET)?)
            .with(&[0, 0])
            .with(fields.from(CHECKSUM_OFFSET + 2)?);
        if fields.u16(CHECKSUM_OFFSET)? != low16(checksum.value()) {
            return None;
        }
    }
    if fields.len() >= WIDE_SIZE { fields.u64_of(0x8, 0x28) } else { fields.u32(0x8).map(u64::from) }
}
