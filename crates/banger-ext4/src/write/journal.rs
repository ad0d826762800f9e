//! The journal of a new file system: a superblock that marks it as empty, followed by zeros (kernel `ext4/journal.rst`).

use crate::disk::bytes::{Record, clamp32};
use crate::disk::geometry::{BLOCK_BYTES, BLOCK_SIZE};
use crate::error::FormatError;
use crate::options::Journal;

const MAGIC: u32 = 0xc03b_3998;
const SUPERBLOCK_V2: u32 = 4;
const BLOCKS_MIN: u64 = 1024;
const BLOCKS_MAX: u64 = (32 << 30) / BLOCK_BYTES;

/// Returns the number of journal blocks for a disk of this many blocks; 0 means no journal.
pub(crate) fn blocks_for(journal: Journal, disk_blocks: u64) -> Result<u64, FormatError> {
    match journal {
        Journal::None => Ok(0),
        Journal::Auto => Ok(default_blocks(disk_blocks)),
        Journal::Bytes(journal_bytes) => {
            let blocks = journal_bytes.div_ceil(BLOCK_BYTES);
            if !(BLOCKS_MIN..=BLOCKS_MAX).contains(&blocks) {
                return Err(FormatError::JournalOutOfRange { journal_bytes });
            }
            Ok(blocks)
        }
    }
}

/// Returns the default of `mke2fs`: 64 MiB on a disk of 8 GiB, 1 GiB from 128 GiB on.
fn default_blocks(disk_blocks: u64) -> u64 {
    const STEPS: [(u64, u64); 8] = [
        (2 << 10, 0),
        (32 << 10, 1 << 10),
        (256 << 10, 4 << 10),
        (512 << 10, 8 << 10),
        (4 << 20, 16 << 10),
        (8 << 20, 32 << 10),
        (16 << 20, 64 << 10),
        (32 << 20, 128 << 10),
    ];
    STEPS.into_iter().find(|(limit, _)| disk_blocks < *limit).map_or(256 << 10, |(_, blocks)| blocks)
}

/// Returns the first block of an empty journal.
pub(crate) fn encode_superblock(blocks: u64) -> Vec<u8> {
    let mut r = Record::with_capacity(BLOCK_SIZE);
    r.be32(MAGIC).be32(SUPERBLOCK_V2).be32(0);
    r.be32(clamp32(BLOCK_BYTES)).be32(clamp32(blocks)).be32(1); // block size, length, first block of the log
    r.be32(1).be32(0); // first expected commit; where the log starts: 0 when it is empty
    r.at(0x40).be32(1); // number of file systems that use it
    r.at(BLOCK_SIZE);
    r.into_bytes()
}
