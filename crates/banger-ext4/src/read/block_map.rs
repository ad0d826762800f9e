//! The mapping of a file's blocks to the disk's: extent trees (kernel `ext4/ifork.rst`), and their predecessor, lists of
//! block numbers (kernel `ext4/blockmap.rst`).

use super::error::ReadError;
use super::fields::Fields;
use super::inode::Inode;
use super::volume::Volume;
use crate::disk::numbers::FLAG_EXTENTS;

const MAGIC: u16 = 0xf30a;
const HEADER_SIZE: usize = 12;
const ENTRY_SIZE: usize = 12;
const DEPTH_MAX: u16 = 5;
/// Longer extents are allocated but not written yet.
const WRITTEN_BLOCKS_MAX: u16 = 32768;
const DIRECT_BLOCKS: usize = 12;
const INDIRECTIONS: u32 = 3;

/// Blocks that are adjacent both in the file and on the disk. Blocks outside all runs are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) file_block: u64,
    pub(super) blocks: u64,
    pub(super) disk_block: u64,
}

impl Run {
    pub(super) fn end(self) -> u64 {
        self.file_block + self.blocks
    }
}

/// Returns the runs of a file, ordered by position.
pub(super) fn read(volume: &Volume, inode: &Inode) -> Result<Vec<Run>, ReadError> {
    let mut map = Map { volume, inode, runs: Vec::new(), end: 0, blocks: 0 };
    if inode.flags & FLAG_EXTENTS != 0 {
        map.add_extents(&inode.block_map, None)?;
    } else {
        map.add_listed()?;
    }
    Ok(map.runs)
}

struct Map<'v> {
    volume: &'v Volume,
    inode: &'v Inode,
    runs: Vec<Run>,
    /// The first block of the file at which the next run may begin.
    end: u64,
    /// Number of disk blocks in use so far, for contents and for the map itself. A file cannot have more than the disk.
    blocks: u64,
}

impl Map<'_> {
    fn add_extents(&mut self, node: &[u8], parent_depth: Option<u16>) -> Result<(), ReadError> {
        let damaged = || self.volume.damaged("an extent tree is invalid");
        let fields = Fields::of(node);
        let header = || Some((fields.u16(0)?, fields.u16(2)?, fields.u16(6)?));
        let (magic, count, depth) = header().ok_or_else(damaged)?;
        let is_expected = parent_depth.map_or(depth <= DEPTH_MAX, |parent| depth + 1 == parent);
        if magic != MAGIC || !is_expected {
            return Err(damaged());
        }
        for index in 0..usize::from(count) {
            let entry = fields.slice(HEADER_SIZE + index * ENTRY_SIZE, ENTRY_SIZE).ok_or_else(damaged)?;
            if depth > 0 {
                let child = child(Fields::of(entry)).ok_or_else(damaged)?;
                let block = self.node(child)?;
                self.add_extents(&block, Some(depth))?;
            } else {
                let (run, is_written) = extent(Fields::of(entry)).ok_or_else(damaged)?;
                if is_written {
                    self.add(run)?;
                }
            }
        }
        Ok(())
    }

    /// Returns a node of the extent tree.
    fn node(&mut self, block: u64) -> Result<Vec<u8>, ReadError> {
        self.count(1)?;
        let node = self.volume.block(block)?;
        if let Some(seed) = self.inode.seed {
            let fields = Fields::of(&node);
            let checked = || {
                let end = HEADER_SIZE + usize::from(fields.u16(4)?) * ENTRY_SIZE;
                Some(fields.u32(end)? == seed.with(fields.slice(0, end)?).value())
            };
            if checked() != Some(true) {
                return Err(self.volume.damaged("the checksum of an extent tree is wrong"));
            }
        }
        Ok(node)
    }

    fn add_listed(&mut self) -> Result<(), ReadError> {
        let map = self.inode.block_map;
        let (direct, indirect) = map.split_at(DIRECT_BLOCKS * 4);
        let blocks = self.inode.size.div_ceil(self.volume.superblock.block_size.into());
        let mut next = self.add_numbers(direct, 0, 0, blocks)?;
        for (level, number) in (1..=INDIRECTIONS).zip(indirect.chunks(4)) {
            next = self.add_numbers(number, level, next, blocks)?;
        }
        Ok(())
    }

    /// Adds the blocks that the numbers of one level lead to; returns the file block after them.
    fn add_numbers(&mut self, numbers: &[u8], level: u32, first: u64, end: u64) -> Result<u64, ReadError> {
        let per_block = u64::from(self.volume.superblock.block_size / 4);
        let covered = per_block.saturating_pow(level);
        let mut file_block = first;
        for bytes in numbers.chunks_exact(4) {
            if file_block >= end {
                break;
            }
            let number = Fields::of(bytes).u32(0).map_or(0, u64::from);
            if number != 0 && level == 0 {
                self.add(Run { file_block, blocks: 1, disk_block: number })?;
            } else if number != 0 {
                self.count(1)?;
                let block = self.volume.block(number)?;
                self.add_numbers(&block, level - 1, file_block, end)?;
            }
            file_block = file_block.saturating_add(covered);
        }
        Ok(file_block)
    }

    fn add(&mut self, run: Run) -> Result<(), ReadError> {
        if run.file_block < self.end {
            return Err(self.volume.damaged("two extents of a file overlap"));
        }
        self.count(run.blocks)?;
        self.end = run.end();
        match self.runs.last_mut() {
            Some(last) if last.end() == run.file_block && last.disk_block + last.blocks == run.disk_block => {
                last.blocks += run.blocks;
            }
            Some(_) | None => self.runs.push(run),
        }
        Ok(())
    }

    fn count(&mut self, blocks: u64) -> Result<(), ReadError> {
        self.blocks += blocks;
        if self.blocks > self.volume.superblock.blocks {
            return Err(self.volume.damaged("a file has more blocks than the disk"));
        }
        Ok(())
    }
}

fn child(entry: Fields<'_>) -> Option<u64> {
    entry.u48_of(4, 8)
}

/// Returns an extent, and whether its blocks were written.
fn extent(entry: Fields<'_>) -> Option<(Run, bool)> {
    let (file_block, length) = (entry.u32(0)?, entry.u16(4)?);
    let disk_block = u64::from(entry.u16(6)?) << 32 | u64::from(entry.u32(8)?);
    let run = Run { file_block: file_block.into(), blocks: length.into(), disk_block };
    Some((run, length > 0 && length <= WRITTEN_BLOCKS_MAX))
}
