//! The content of files, read in order, skipping ranges that are zero because they were never written.

use std::io::{self, Read};

use super::block_map::{self, Run};
use super::error::ReadError;
use super::inode::Inode;
use super::volume::Volume;
use crate::content::Content;
use crate::disk::geometry::BLOCK_BYTES;

/// An open file.
#[derive(Debug)]
pub(crate) struct FileContent<'v> {
    volume: &'v Volume,
    runs: std::vec::IntoIter<Run>,
    current: Option<Run>,
    position: u64,
    size: u64,
}

impl<'v> FileContent<'v> {
    pub(super) fn open(volume: &'v Volume, inode: &Inode) -> Result<Self, ReadError> {
        let mut runs = block_map::read(volume, inode)?.into_iter();
        let current = runs.next();
        Ok(Self { volume, runs, current, position: 0, size: inode.size })
    }

    pub(super) fn read_some(&mut self, into: &mut [u8]) -> Result<usize, ReadError> {
        let (end, offset) = match self.next_run() {
            Some((start, end, offset)) if start <= self.position => {
                (end, Some(offset + (self.position - start)))
            }
            Some((start, _, _)) => (start, None),
            None => (self.size, None),
        };
        let left = usize::try_from(end.min(self.size).saturating_sub(self.position)).unwrap_or(usize::MAX);
        let wanted = left.min(into.len());
        let target = into.get_mut(..wanted).unwrap_or_default();
        match offset {
            Some(offset) => self.volume.read_at(offset, target)?,
            None => target.fill(0),
        }
        self.position += wanted as u64;
        Ok(wanted)
    }

    /// Returns the run at or after the position: its start and end in the file, and its start on the disk.
    fn next_run(&mut self) -> Option<(u64, u64, u64)> {
        let block_size = u64::from(self.volume.superblock.block_size);
        loop {
            let run = self.current?;
            let start = run.file_block.saturating_mul(block_size);
            let end = run.end().saturating_mul(block_size);
            if self.position < end {
                return Some((start, end, run.disk_block.saturating_mul(block_size)));
            }
            self.current = self.runs.next();
        }
    }
}

impl Content for FileContent<'_> {
    fn skip_zeros(&mut self) -> u64 {
        let data = self.next_run().map_or(self.size, |(start, _, _)| start);
        let hole = data.min(self.size).saturating_sub(self.position);
        let skipped = hole - hole % BLOCK_BYTES;
        self.position += skipped;
        skipped
    }
}

impl Read for FileContent<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.read_some(into).map_err(io::Error::other)
    }
}
