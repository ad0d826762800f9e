//! Extent trees, which map a file's blocks to the disk's (kernel `ext4/ifork.rst`, "Extent Tree").

use crate::disk::bytes::{Record, clamp16, clamp32, high32, low16, low32};
use crate::disk::checksum::Checksum;
use crate::disk::geometry::BLOCK_SIZE;
use crate::error::FormatError;
use crate::write::allocator::{Allocator, Run};
use crate::write::block_file::BlockFile;

const MAGIC: u16 = 0xf30a;
const EXTENT_BLOCKS_MAX: u64 = 32768;
const ENTRIES_IN_INODE: usize = 4;
/// A block has a header of 12 bytes, these entries of 12 bytes, and a checksum.
const ENTRIES_IN_BLOCK: usize = (BLOCK_SIZE - 12 - 4) / 12;

/// Blocks that are adjacent both in the file and on the disk. Blocks of a file outside all extents are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) file_block: u32,
    pub(crate) blocks: u32,
    pub(crate) disk_block: u64,
}

/// The extents of a file. Most files have one, which needs no allocation.
#[derive(Debug, Default)]
pub(crate) enum Extents {
    #[default]
    None,
    One(Extent),
    Many(Box<[Extent]>),
}

impl Extents {
    pub(crate) fn as_slice(&self) -> &[Extent] {
        match self {
            Self::None => &[],
            Self::One(extent) => std::slice::from_ref(extent),
            Self::Many(extents) => extents,
        }
    }

    /// Returns the bytes of memory that they take in addition to this value.
    pub(crate) fn held_bytes(&self) -> usize {
        match self {
            Self::None | Self::One(_) => 0,
            Self::Many(extents) => size_of_val(&**extents),
        }
    }
}

impl From<Vec<Extent>> for Extents {
    fn from(extents: Vec<Extent>) -> Self {
        match extents.as_slice() {
            [] => Self::None,
            [extent] => Self::One(*extent),
            [_, _, ..] => Self::Many(extents.into_boxed_slice()),
        }
    }
}

impl Extent {
    pub(crate) fn run(self) -> Run {
        Run { start: self.disk_block, blocks: self.blocks.into() }
    }
}

/// Appends blocks to a file, extending the last extent if they continue it.
pub(crate) fn append(extents: &mut Vec<Extent>, file_block: u32, run: Run) {
    let mut file_block = file_block;
    let mut run = run;
    if let Some(last) = extents.last_mut()
        && last.file_block + last.blocks == file_block
        && last.disk_block + u64::from(last.blocks) == run.start
    {
        let added = run.blocks.min(EXTENT_BLOCKS_MAX - u64::from(last.blocks));
        last.blocks += clamp32(added);
        file_block += clamp32(added);
        run = Run { start: run.start + added, blocks: run.blocks - added };
    }
    while run.blocks > 0 {
        let blocks = run.blocks.min(EXTENT_BLOCKS_MAX);
        extents.push(Extent { file_block, blocks: clamp32(blocks), disk_block: run.start });
        file_block += clamp32(blocks);
        run = Run { start: run.start + blocks, blocks: run.blocks - blocks };
    }
}

/// Returns the total number of blocks in the extents.
pub(crate) fn total_blocks(extents: &[Extent]) -> u64 {
    extents.iter().map(|extent| u64::from(extent.blocks)).sum()
}

/// The root of an extent tree, for the inode, and the number of blocks of the rest of the tree.
#[derive(Debug)]
pub(crate) struct ExtentTree {
    pub(crate) root: Vec<u8>,
    pub(crate) blocks: u64,
}

/// Writes the extent tree of an inode.
pub(crate) fn write_tree(
    extents: &[Extent],
    seed: Checksum,
    allocator: &mut Allocator,
    file: &mut BlockFile,
) -> Result<ExtentTree, FormatError> {
    let mut entries: Vec<Entry> = extents.iter().map(Entry::of_extent).collect();
    let mut depth = 0;
    let mut blocks = 0;
    while entries.len() > ENTRIES_IN_INODE {
        let mut parents = Vec::new();
        for children in entries.chunks(ENTRIES_IN_BLOCK) {
            let block = allocator.take_block()?;
            let mut record = Record::with_capacity(BLOCK_SIZE);
            put_node(&mut record, children, ENTRIES_IN_BLOCK, depth);
            record.at(12 + ENTRIES_IN_BLOCK * 12);
            let checksum = seed.with(record.as_slice());
            record.u32(checksum.value());
            file.write(block, record.as_slice())?;
            parents.extend(children.first().map(|first| first.parent(block)));
            blocks += 1;
        }
        entries = parents;
        depth += 1;
    }
    let mut root = Record::with_capacity(60);
    put_node(&mut root, &entries, ENTRIES_IN_INODE, depth);
    root.at(60);
    Ok(ExtentTree { root: root.into_bytes(), blocks })
}

fn put_node(record: &mut Record, entries: &[Entry], capacity: usize, depth: u16) {
    record.u16(MAGIC).u16(clamp16(entries.len())).u16(clamp16(capacity)).u16(depth).u32(0);
    for entry in entries {
        record.u32(entry.file_block).raw(&entry.rest);
    }
}

struct Entry {
    file_block: u32,
    rest: [u8; 8],
}

impl Entry {
    fn of_extent(extent: &Extent) -> Self {
        // A length of 32768 still means written blocks; longer ones would mean unwritten blocks.
        let [l0, l1] = low16(extent.blocks).to_le_bytes();
        let [h0, h1] = low16(high32(extent.disk_block)).to_le_bytes();
        let [b0, b1, b2, b3] = low32(extent.disk_block).to_le_bytes();
        Self { file_block: extent.file_block, rest: [l0, l1, h0, h1, b0, b1, b2, b3] }
    }

    fn parent(&self, block: u64) -> Self {
        let [b0, b1, b2, b3] = low32(block).to_le_bytes();
        let [h0, h1] = low16(high32(block)).to_le_bytes();
        Self { file_block: self.file_block, rest: [b0, b1, b2, b3, h0, h1, 0, 0] }
    }
}
