//! The superblock and its copies (kernel `ext4/super.rst`).

use crate::disk::bytes::{Record, clamp16, clamp32, disk_len, high32, low16, low32};
use crate::disk::checksum::Checksum;
use crate::disk::geometry::{BLOCKS_PER_GROUP, DESCRIPTOR_SIZE, Geometry, INODE_SIZE};
use crate::disk::numbers::{JOURNAL_INODE, RESERVED_INODES};
use crate::options::FormatOptions;
use crate::write::inode::EXTRA_SIZE;

const SIZE: usize = 1024;
const CHECKSUM_OFFSET: usize = 0x3fc;
const PRIMARY_OFFSET: usize = 1024;

const COMPAT_HAS_JOURNAL: u32 = 0x4;
/// `ext_attr`, `resize_inode`, `dir_index`.
const COMPAT: u32 = 0x8 | 0x10 | 0x20;
/// `filetype`, `extent`, `64bit`, `flex_bg`.
const INCOMPAT: u32 = 0x2 | 0x40 | 0x80 | 0x200;
/// `sparse_super`, `large_file`, `huge_file`, `dir_nlink`, `extra_isize`, `metadata_csum`.
const RO_COMPAT: u32 = 0x1 | 0x2 | 0x8 | 0x20 | 0x40 | 0x400;
/// Extended attributes and access control lists are enabled by default.
const MOUNT_OPTIONS: u32 = 0x4 | 0x8;
const SIGNED_HASH: u32 = 1;
const HALF_MD4: u8 = 1;
const CRC32C: u8 = 1;
/// Sixteen groups share their free inodes and blocks.
const GROUPS_PER_FLEX_LOG: u8 = 4;

/// The superblock's copy of the journal's location.
#[derive(Debug)]
pub(crate) struct JournalCopy {
    pub(crate) block_map: Vec<u8>,
    pub(crate) size: u64,
}

/// Totals for the superblock.
#[derive(Debug)]
pub(crate) struct Totals {
    pub(crate) free_blocks: u64,
    pub(crate) free_inodes: u64,
    pub(crate) journal: Option<JournalCopy>,
}

/// Encodes the block at the start of a group that contains the superblock.
pub(crate) fn encode_block(
    options: &FormatOptions,
    geometry: &Geometry,
    totals: &Totals,
    group: u64,
) -> Vec<u8> {
    let superblock = encode(options, geometry, totals, group);
    let mut block = Record::with_capacity(PRIMARY_OFFSET + SIZE);
    if group == 0 {
        block.at(PRIMARY_OFFSET);
    }
    block.raw(&superblock);
    block.into_bytes()
}

fn encode(options: &FormatOptions, geometry: &Geometry, totals: &Totals, group: u64) -> Vec<u8> {
    let (created, created_high) = seconds(options.created_at);
    let has_journal = if totals.journal.is_some() { COMPAT_HAS_JOURNAL } else { 0 };
    let group_size = clamp32(BLOCKS_PER_GROUP);
    let mut r = Record::with_capacity(SIZE);
    r.u32(clamp32(geometry.inodes())).u32(low32(geometry.blocks)).u32(0);
    r.u32(low32(totals.free_blocks)).u32(clamp32(totals.free_inodes));
    r.at(0x18).u32(2).u32(2); // sizes of blocks and clusters: 1024 << 2
    r.u32(group_size).u32(group_size).u32(geometry.inodes_per_group);
    r.at(0x30).u32(created).u16(0).u16(u16::MAX); // last write, mounts, mounts until a check
    r.u16(0xef53).u16(1).u16(1).u16(0); // magic, clean, continue after errors, minor revision
    r.u32(created).u32(0).u32(0).u32(1); // last check, check interval, made by Linux, revision
    r.at(0x54).u32(RESERVED_INODES + 1).u16(clamp16(INODE_SIZE)).u16(low16(low32(group)));
    r.u32(COMPAT | has_journal).u32(INCOMPAT).u32(RO_COMPAT);
    r.raw(&options.uuid).raw(options.label.as_bytes());
    r.at(0xce).u16(low16(low32(geometry.reserved_descriptor_blocks())));
    r.at(0xe0).u32(if totals.journal.is_some() { JOURNAL_INODE } else { 0 });
    r.at(0xec).raw(&options.hash_seed).u8(HALF_MD4).u8(u8::from(totals.journal.is_some()));
    r.u16(clamp16(DESCRIPTOR_SIZE)).u32(MOUNT_OPTIONS).u32(0).u32(created);
    if let Some(journal) = &totals.journal {
        r.at(0x10c).raw(&journal.block_map).u32(high32(journal.size)).u32(low32(journal.size));
    }
    r.at(0x150).u32(high32(geometry.blocks)).u32(0).u32(high32(totals.free_blocks));
    r.u16(EXTRA_SIZE).u16(EXTRA_SIZE).u32(SIGNED_HASH);
    r.at(0x174).u8(GROUPS_PER_FLEX_LOG).u8(CRC32C);
    r.at(0x274).u8(created_high).u8(0).u8(created_high).u8(created_high); // last write, mount, creation, check
    r.at(CHECKSUM_OFFSET);
    let checksum = Checksum::start().with(r.as_slice());
    r.u32(checksum.value());
    debug_assert_eq!(disk_len(r.len()), disk_len(SIZE), "the checksum ends the superblock");
    r.into_bytes()
}

/// Returns the 40 bits of a time after 1970 as two fields.
#[expect(clippy::cast_possible_truncation, reason = "the value is cut into its bytes")]
fn seconds(time: i64) -> (u32, u8) {
    let time = u64::try_from(time).unwrap_or(0);
    (low32(time), high32(time) as u8)
}
