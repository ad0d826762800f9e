//! What a caller decides about a new file system, and how large one should be.

use crate::disk::geometry::BLOCK_BYTES;

/// What a new file system is like. Two runs with equal options and equal entries give equal bytes.
#[derive(Debug, Clone)]
pub struct FormatOptions {
    /// Size of the file system; only the upper bound when [`crate::Ext4Writer::finish_shrunk`] ends the work.
    pub size_bytes: u64,
    /// Volume label of at most 16 bytes.
    pub label: String,
    /// UUID of the file system; checksums are seeded with it.
    pub uuid: [u8; 16],
    /// Seed of the directory hashes.
    pub hash_seed: [u8; 16],
    /// Unix seconds of the superblock, of every creation time, and of directories nobody described.
    pub created_at: i64,
    /// Least number of inodes; 0 means by size.
    pub inodes_min: u32,
    /// Whether the file system has a journal, and how large it is.
    pub journal: Journal,
}

/// The journal of a new file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Journal {
    /// No journal: right for a disk that is only read.
    None,
    /// A journal of this size, rounded up to blocks.
    Bytes(u64),
    /// The size that `mke2fs` takes for a disk of this size; none on the smallest disks.
    Auto,
}

/// Returns a size that holds this many bytes of file contents in this many entries, with slack.
#[must_use]
pub fn image_size_for(content_bytes: u64, entries: u64) -> u64 {
    const STEP: u64 = 4 << 20;
    const FIXED: u64 = 16 << 20;
    // Each entry rounds its content up to a block, has an inode, and a directory record.
    let per_entry = BLOCK_BYTES + 256 + 64;
    let needed = content_bytes
        .saturating_add(entries.saturating_mul(per_entry))
        .saturating_add(content_bytes / 16)
        .saturating_add(FIXED);
    // One inode per 16 KiB is the density of a fixed size; its tables take 1/64.
    let with_tables = needed.saturating_add(needed / 32);
    with_tables.div_ceil(STEP).saturating_mul(STEP)
}
