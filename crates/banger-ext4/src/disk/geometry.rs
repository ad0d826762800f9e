//! The geometry of a file system: blocks, groups, inodes (kernel `ext4/blockgroup.rst`).
//!
//! Groups 0, 1 and the powers of 3, 5 and 7 begin with the superblock and an area for group descriptors. The area has the
//! same size before and after growth, so that growing never moves anything.

use crate::error::{FormatError, Resource};

pub(crate) const BLOCK_SIZE: usize = 4096;
pub(crate) const BLOCK_BYTES: u64 = 4096;
pub(crate) const BLOCKS_PER_GROUP: u64 = 32768;
pub(crate) const INODE_SIZE: usize = 256;
pub(crate) const INODES_PER_BLOCK: u32 = 16;
pub(crate) const INODES_PER_GROUP_MAX: u32 = 32768;
pub(crate) const DESCRIPTOR_SIZE: usize = 64;
const DESCRIPTORS_PER_BLOCK: u64 = 64;
const BYTES_PER_INODE: u64 = 16384;
const SIZE_MIN: u64 = 1 << 20;
const SIZE_MAX: u64 = 2 << 40;
/// A disk can grow online to at least this size, or by this factor.
const GROWTH_MIN: u64 = 128 << 30;
const GROWTH_FACTOR: u64 = 16;
/// A last group with fewer free blocks than this is left out, as by `mke2fs`.
const LAST_GROUP_MIN: u64 = 50;

/// The blocks at the start of some groups that belong to the superblock and the group descriptors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrontArea {
    /// Blocks for group descriptors, in use or reserved for growth.
    descriptor_blocks: u64,
}

impl FrontArea {
    pub(crate) fn for_size(size_bytes: u64) -> Result<Self, FormatError> {
        if !(SIZE_MIN..=SIZE_MAX).contains(&size_bytes) {
            return Err(FormatError::SizeOutOfRange { size_bytes });
        }
        let grown = size_bytes.saturating_mul(GROWTH_FACTOR).clamp(GROWTH_MIN, SIZE_MAX);
        let groups = (grown / BLOCK_BYTES).div_ceil(BLOCKS_PER_GROUP);
        // One more block keeps the resize inode meaningful for the largest disk.
        Ok(Self { descriptor_blocks: groups.div_ceil(DESCRIPTORS_PER_BLOCK) + 1 })
    }

    /// Returns how many blocks the superblock and descriptors take at the start of this group.
    pub(crate) fn blocks_in(self, group: u64) -> u64 {
        if has_superblock(group) { 1 + self.descriptor_blocks } else { 0 }
    }
}

/// Tells whether a group begins with a copy of the superblock.
pub(crate) fn has_superblock(group: u64) -> bool {
    group <= 1 || [3, 5, 7].into_iter().any(|base| is_power(group, base))
}

fn is_power(number: u64, base: u64) -> bool {
    let mut power = base;
    while power < number {
        power = power.saturating_mul(base);
    }
    power == number
}

/// The final geometry of a file system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Geometry {
    pub(crate) blocks: u64,
    pub(crate) inodes_per_group: u32,
    pub(crate) front: FrontArea,
}

impl Geometry {
    /// Returns the geometry of a disk with this many blocks and at least this many inodes.
    pub(crate) fn new(
        front: FrontArea,
        blocks: u64,
        inodes_used: u32,
        inodes_wanted: u32,
    ) -> Result<Self, FormatError> {
        let groups = blocks.div_ceil(BLOCKS_PER_GROUP).max(1);
        let per_group =
            |inodes: u32| u64::from(inodes).div_ceil(groups).next_multiple_of(INODES_PER_BLOCK.into());
        if per_group(inodes_used) > INODES_PER_GROUP_MAX.into() {
            return Err(FormatError::NoSpace {
                resource: Resource::Inodes,
                size_bytes: blocks * BLOCK_BYTES,
            });
        }
        let inodes_per_group = u32::try_from(per_group(inodes_used.max(inodes_wanted)))
            .unwrap_or(INODES_PER_GROUP_MAX)
            .clamp(INODES_PER_BLOCK, INODES_PER_GROUP_MAX);
        Ok(Self { blocks, inodes_per_group, front })
    }

    pub(crate) fn groups(&self) -> u64 {
        self.blocks.div_ceil(BLOCKS_PER_GROUP)
    }

    pub(crate) fn group_start(group: u64) -> u64 {
        group * BLOCKS_PER_GROUP
    }

    pub(crate) fn blocks_in_group(&self, group: u64) -> u64 {
        self.blocks.saturating_sub(Self::group_start(group)).min(BLOCKS_PER_GROUP)
    }

    pub(crate) fn inode_table_blocks(&self) -> u64 {
        u64::from(self.inodes_per_group / INODES_PER_BLOCK)
    }

    pub(crate) fn inodes(&self) -> u64 {
        self.groups() * u64::from(self.inodes_per_group)
    }

    /// Returns the number of blocks of group descriptors that are in use.
    pub(crate) fn descriptor_blocks(&self) -> u64 {
        self.groups().div_ceil(DESCRIPTORS_PER_BLOCK)
    }

    /// Returns the number of blocks that are reserved for descriptors of a grown disk.
    pub(crate) fn reserved_descriptor_blocks(&self) -> u64 {
        self.front.descriptor_blocks.saturating_sub(self.descriptor_blocks())
    }

    /// Returns the groups with a copy of the superblock, without group 0.
    pub(crate) fn backup_groups(&self) -> impl Iterator<Item = u64> {
        (1..self.groups()).filter(|group| has_superblock(*group))
    }
}

/// Returns the default number of inodes for a disk of this size.
pub(crate) fn inodes_for(blocks: u64) -> u32 {
    u32::try_from(blocks * BLOCK_BYTES / BYTES_PER_INODE).unwrap_or(u32::MAX)
}

/// Returns the blocks of a disk without a last group that is too small to be useful.
pub(crate) fn whole_groups(front: FrontArea, blocks: u64) -> u64 {
    blocks - blocks % BLOCKS_PER_GROUP * u64::from(last_group_missing(front, blocks) > 0)
}

/// Returns how many blocks the last group lacks to be useful.
pub(crate) fn last_group_missing(front: FrontArea, blocks: u64) -> u64 {
    let rest = blocks % BLOCKS_PER_GROUP;
    let needed = front.blocks_in(blocks / BLOCKS_PER_GROUP) + LAST_GROUP_MIN;
    if rest == 0 { 0 } else { needed.saturating_sub(rest) }
}
