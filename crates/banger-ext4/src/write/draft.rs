//! A file system that is being made: contents on the disk, everything else in memory.

use crate::disk::geometry::FrontArea;
use crate::options::FormatOptions;
use crate::write::allocator::Allocator;
use crate::write::block_file::BlockFile;
use crate::write::tree::Tree;

/// The parts of a file system before its metadata is written.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) options: FormatOptions,
    pub(crate) front: FrontArea,
    /// Blocks of the file system if it is not shrunk.
    pub(crate) blocks: u64,
    pub(crate) allocator: Allocator,
    pub(crate) file: BlockFile,
    pub(crate) tree: Tree,
}
