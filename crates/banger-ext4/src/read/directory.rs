//! Names in directories (kernel `ext4/directory.rst`). The index of a large directory is hidden in entries without an inode,
//! so reading block after block finds all names.

use super::block_map::{self, Run};
use super::error::ReadError;
use super::fields::Fields;
use super::inode::{Inode, Kind};
use super::volume::Volume;

const HEADER_SIZE: usize = 8;
const TAIL_SIZE: usize = 12;
const TAIL_TYPE: u8 = 0xde;
/// This length stands for a whole block of 64 KiB.
const WHOLE_BLOCK: u16 = u16::MAX;

/// Calls `found` with every name except `.` and `..`, and its inode.
pub(super) fn for_each_name(
    volume: &Volume,
    directory: &Inode,
    mut found: impl FnMut(&[u8], u32) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    if directory.kind != Kind::Directory {
        return Err(volume.damaged("a directory is none"));
    }
    let end = directory.size.div_ceil(volume.superblock.block_size.into());
    for Run { file_block, blocks, disk_block } in block_map::read(volume, directory)? {
        for index in 0..blocks.min(end.saturating_sub(file_block)) {
            let block = volume.block(disk_block.saturating_add(index))?;
            check(volume, directory, &block)?;
            names_of_block(volume, &block, &mut found)?;
        }
    }
    Ok(())
}

/// Verifies the checksum of a block of names. Blocks of the index have theirs elsewhere, and contain no names.
fn check(volume: &Volume, directory: &Inode, block: &[u8]) -> Result<(), ReadError> {
    let Some(seed) = directory.seed else { return Ok(()) };
    let Some((content, tail)) = block.split_at_checked(block.len().saturating_sub(TAIL_SIZE)) else {
        return Ok(());
    };
    let tail = Fields::of(tail);
    let is_tail =
        tail.u32(0) == Some(0) && tail.u16(4) == Some(12) && tail.u16(6) == Some(u16::from(TAIL_TYPE) << 8);
    if is_tail && tail.u32(8) != Some(seed.with(content).value()) {
        return Err(volume.damaged("the checksum of a directory is wrong"));
    }
    Ok(())
}

fn names_of_block(
    volume: &Volume,
    block: &[u8],
    found: &mut impl FnMut(&[u8], u32) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let mut rest = block;
    while !rest.is_empty() {
        let (name, inode, size) =
            entry(rest).ok_or_else(|| volume.damaged("an entry of a directory is invalid"))?;
        if inode != 0 && name != b"." && name != b".." {
            found(name, inode)?;
        }
        rest = rest.get(size..).unwrap_or_default();
    }
    Ok(())
}

/// Returns the first entry: its name, its inode, and its size.
fn entry(bytes: &[u8]) -> Option<(&[u8], u32, usize)> {
    let fields = Fields::of(bytes);
    let size = match fields.u16(4)? {
        0 | WHOLE_BLOCK => bytes.len(),
        size => size.into(),
    };
    let (inode, name) = (fields.u32(0)?, fields.slice(HEADER_SIZE, fields.u8(6)?.into())?);
    let fits = size >= HEADER_SIZE + name.len() && size % 4 == 0 && size <= bytes.len();
    let is_name = inode == 0 || !(name.is_empty() || name.contains(&b'/') || name.contains(&0));
    (fits && is_name).then_some((name, inode, size))
}
