//! Allocates blocks from the front to the end of the disk, and reports at the end which ones are in use.
//!
//! Everything before `next` is in use, except the runs in `free`; everything after it is free, except the areas of
//! superblock copies. Freed blocks are not allocated again: each block is written at most once, so unwritten ones are zero.

use crate::disk::geometry::{BLOCK_BYTES, BLOCK_SIZE, BLOCKS_PER_GROUP, FrontArea, Geometry, has_superblock};
use crate::error::{FormatError, Resource};

/// Adjacent blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Run {
    pub(crate) start: u64,
    pub(crate) blocks: u64,
}

impl Run {
    fn end(self) -> u64 {
        self.start + self.blocks
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Allocator {
    front: FrontArea,
    limit: u64,
    next: u64,
    /// End of the run of free blocks from `next`: the next copy of the superblock, or the limit.
    run_end: u64,
    free: Vec<Run>,
}

impl Allocator {
    pub(crate) fn new(front: FrontArea, limit: u64) -> Self {
        let mut allocator = Self { front, limit, next: 0, run_end: 0, free: Vec::new() };
        allocator.skip_front_area();
        allocator
    }

    /// Returns the first block that was never allocated.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Allocates up to `wanted` adjacent blocks, at least one.
    pub(crate) fn take_some(&mut self, wanted: u64) -> Result<Run, FormatError> {
        if self.next >= self.run_end {
            self.skip_front_area();
        }
        let blocks = wanted.min(self.run_end.saturating_sub(self.next));
        if blocks == 0 {
            return Err(self.no_space());
        }
        let run = Run { start: self.next, blocks };
        self.next += blocks;
        Ok(run)
    }

    /// Allocates exactly `wanted` adjacent blocks.
    pub(crate) fn take_neighbours(&mut self, wanted: u64) -> Result<u64, FormatError> {
        if self.next >= self.run_end {
            self.skip_front_area();
        }
        while self.run_end.saturating_sub(self.next) < wanted {
            if self.run_end >= self.limit {
                return Err(self.no_space());
            }
            self.release(Run { start: self.next, blocks: self.run_end - self.next });
            self.next = self.run_end;
            self.skip_front_area();
        }
        let start = self.next;
        self.next += wanted;
        Ok(start)
    }

    pub(crate) fn take_block(&mut self) -> Result<u64, FormatError> {
        self.take_neighbours(1)
    }

    /// Frees blocks that were allocated before.
    pub(crate) fn release(&mut self, run: Run) {
        if run.blocks > 0 {
            self.free.push(run);
        }
    }

    /// Returns the runs that were freed after the first `seen` ones, and updates `seen`.
    pub(crate) fn freed_since(&self, seen: &mut usize) -> Vec<Run> {
        let runs = self.free.get(*seen..).unwrap_or_default().to_vec();
        *seen = self.free.len();
        runs
    }

    pub(crate) fn into_usage(mut self) -> Usage {
        self.free.sort_unstable();
        Usage { front: self.front, next: self.next, free: self.free }
    }

    fn skip_front_area(&mut self) {
        if self.next.is_multiple_of(BLOCKS_PER_GROUP) {
            self.next += self.front.blocks_in(self.next / BLOCKS_PER_GROUP);
        }
        let groups = self.limit.div_ceil(BLOCKS_PER_GROUP);
        let mut group = self.next / BLOCKS_PER_GROUP + 1;
        while group < groups && !has_superblock(group) {
            group += 1;
        }
        self.run_end = Geometry::group_start(group).min(self.limit);
    }

    fn no_space(&self) -> FormatError {
        FormatError::NoSpace { resource: Resource::Blocks, size_bytes: self.limit * BLOCK_BYTES }
    }
}

/// The blocks in use, once allocation is complete.
#[derive(Debug)]
pub(crate) struct Usage {
    front: FrontArea,
    next: u64,
    free: Vec<Run>,
}

impl Usage {
    /// Returns the blocks that were allocated and freed, in order.
    pub(crate) fn freed(&self) -> &[Run] {
        &self.free
    }

    /// Tells whether a group contains nothing but its own copy of the superblock.
    pub(crate) fn is_untouched(&self, group: u64) -> bool {
        Geometry::group_start(group) >= self.next
    }

    /// Returns the block bitmap of a group, with the bits after the end of the disk set, and the number of free blocks.
    pub(crate) fn bitmap(&self, geometry: &Geometry, group: u64) -> (Vec<u8>, u64) {
        let start = Geometry::group_start(group);
        let end = start + geometry.blocks_in_group(group);
        let used_end = self.next.clamp(start, end).max(start + self.front.blocks_in(group));
        let mut bits = vec![0; BLOCK_SIZE];
        set_bits(&mut bits, 0, used_end - start, true);
        let mut free = end - used_end;
        let first = self.free.partition_point(|run| run.end() <= start);
        for run in self.free.iter().skip(first).take_while(|run| run.start < end) {
            let from = run.start.max(start);
            let until = run.end().min(end);
            set_bits(&mut bits, from - start, until - start, false);
            free += until - from;
        }
        set_bits(&mut bits, end - start, BLOCKS_PER_GROUP, true);
        (bits, free)
    }
}

/// Sets or clears the bits `from..until` of a bitmap.
pub(crate) fn set_bits(bitmap: &mut [u8], from: u64, until: u64, on: bool) {
    let mut bit = from;
    while bit < until {
        let whole_byte = bit.is_multiple_of(8) && until - bit >= 8;
        let mask = if whole_byte { 0xff } else { 1 << (bit % 8) };
        if let Some(byte) = usize::try_from(bit / 8).ok().and_then(|index| bitmap.get_mut(index)) {
            *byte = if on { *byte | mask } else { *byte & !mask };
        }
        bit += if whole_byte { 8 } else { 1 };
    }
}
