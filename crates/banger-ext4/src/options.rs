//! Options of a new file system, and an estimate of its size.

use crate::disk::geometry::BLOCK_BYTES;

/// Options of a new file system. Two runs with equal options and equal entries give equal bytes.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names say what the fields are")]
pub struct FormatOptions {
    /// Size of the file system; only the upper bound if [`crate::Ext4Writer::finish_shrunk`] completes it.
    pub size_bytes: u64,
    /// Volume label of at most 16 bytes.
    pub label: String,
    /// UUID of the file system; checksums are seeded with it.
    pub uuid: [u8; 16],
    /// Seed of the directory hashes.
    pub hash_seed: [u8; 16],
    /// Unix seconds for the superblock, for every creation time, and for directories without a description of their own.
    pub created_at: i64,
    /// Minimum number of inodes; 0 means a default by size.
    pub inodes_min: u32,
    pub journal: Journal,
}

/// The journal of a new file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Journal {
    /// No journal; suitable for a disk that is only read.
    None,
    /// A journal of this size, rounded up to blocks.
    Bytes(u64),
    /// The size that `mke2fs` would choose for this disk; no journal on the smallest disks.
    Auto,
}

/// Returns a size, with slack, that holds this many bytes of file contents in this many entries.
#[must_use]
pub fn image_size_for(content_bytes: u64, entries: u64) -> u64 {
    const STEP: u64 = 4 << 20;
    const FIXED: u64 = 16 << 20;
    // Each entry rounds its content up to a block, and has an inode and a directory record.
    let per_entry = BLOCK_BYTES + 256 + 64;
    let needed = content_bytes
        .saturating_add(entries.saturating_mul(per_entry))
        .saturating_add(content_bytes / 16)
        .saturating_add(FIXED);
    // By size there is one inode per 16 KiB; their tables take 1/64.
    let with_tables = needed.saturating_add(needed / 32);
    with_tables.div_ceil(STEP).saturating_mul(STEP)
}
