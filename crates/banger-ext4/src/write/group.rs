//! Group descriptors and their bitmaps (kernel `ext4/group_descr.rst`, `ext4/bitmaps.rst`).
//!
//! Groups without blocks or inodes in use are marked as such, and their bitmaps are never written. All inode tables lie in
//! blocks of a new sparse file, so they read as zeros without being written.

use crate::disk::bytes::{Record, high16, high32, low16, low32};
use crate::disk::checksum::Checksum;
use crate::disk::geometry::{BLOCK_SIZE, DESCRIPTOR_SIZE, Geometry};
use crate::write::allocator::{Usage, set_bits};

const INODE_UNINIT: u16 = 1;
const BLOCK_UNINIT: u16 = 2;
const TABLE_ZEROED: u16 = 4;
const CHECKSUM_OFFSET: usize = 0x1e;

/// The location of a group's bitmaps and inode table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tables {
    pub(crate) block_bitmap: u64,
    pub(crate) inode_bitmap: u64,
    pub(crate) inode_table: u64,
}

/// The inodes of a group that are in use.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct GroupInodes {
    pub(crate) used: u32,
    pub(crate) directories: u32,
}

/// A group descriptor, and the bitmaps that must be written.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) descriptor: Vec<u8>,
    pub(crate) block_bitmap: Option<Vec<u8>>,
    pub(crate) inode_bitmap: Option<Vec<u8>>,
    pub(crate) free_blocks: u64,
}

/// Encodes the descriptor and bitmaps of a group. Its inodes are used from the first one on.
pub(crate) fn encode(
    geometry: &Geometry,
    group: u64,
    tables: Tables,
    usage: &Usage,
    inodes: GroupInodes,
    seed: Checksum,
) -> Group {
    let (block_bits, free_blocks) = usage.bitmap(geometry, group);
    // The last group may be shorter than the others, which its bitmap must show.
    let is_last = group + 1 == geometry.groups();
    let block_bitmap = (is_last || !usage.is_untouched(group)).then_some(block_bits);
    let inode_bitmap = (inodes.used > 0).then(|| inode_bits(geometry, inodes.used));

    let mut flags = TABLE_ZEROED;
    let mut block_checksum = 0;
    let mut inode_checksum = 0;
    match &block_bitmap {
        Some(bits) => block_checksum = seed.with(bits).value(),
        None => flags |= BLOCK_UNINIT,
    }
    match &inode_bitmap {
        Some(bits) => {
            let in_use = usize::try_from(geometry.inodes_per_group / 8).unwrap_or(BLOCK_SIZE);
            inode_checksum = seed.with(bits.get(..in_use).unwrap_or(bits)).value();
        }
        None => flags |= INODE_UNINIT,
    }

    let free = low32(free_blocks);
    let free_inodes = geometry.inodes_per_group - inodes.used;
    let mut r = Record::with_capacity(DESCRIPTOR_SIZE);
    r.u32(low32(tables.block_bitmap)).u32(low32(tables.inode_bitmap)).u32(low32(tables.inode_table));
    r.u16(low16(free)).u16(low16(free_inodes)).u16(low16(inodes.directories)).u16(flags);
    r.at(0x18).u16(low16(block_checksum)).u16(low16(inode_checksum)).u16(low16(free_inodes));
    r.at(0x20)
        .u32(high32(tables.block_bitmap))
        .u32(high32(tables.inode_bitmap))
        .u32(high32(tables.inode_table));
    r.u16(high16(free)).u16(high16(free_inodes)).u16(high16(inodes.directories)).u16(high16(free_inodes));
    r.at(0x38).u16(high16(block_checksum)).u16(high16(inode_checksum));
    r.at(DESCRIPTOR_SIZE);
    let checksum = seed.with_u32(low32(group)).with(r.as_slice());
    r.patch_u16(CHECKSUM_OFFSET, low16(checksum.value()));
    Group { descriptor: r.into_bytes(), block_bitmap, inode_bitmap, free_blocks }
}

fn inode_bits(geometry: &Geometry, used: u32) -> Vec<u8> {
    let mut bits = vec![0xff; BLOCK_SIZE];
    set_bits(&mut bits, used.into(), geometry.inodes_per_group.into(), false);
    bits
}
