//! Writing: entries become a tree in memory, with their contents already on the disk; all metadata is written at the end.

pub(crate) mod allocator;
pub(crate) mod attributes;
pub(crate) mod block_file;
pub(crate) mod content;
pub(crate) mod directory;
pub(crate) mod draft;
pub(crate) mod extent;
pub(crate) mod finish;
pub(crate) mod group;
pub(crate) mod htree;
pub(crate) mod inode;
pub(crate) mod inode_table;
pub(crate) mod journal;
pub(crate) mod memory;
pub(crate) mod name_block;
pub(crate) mod name_hash;
pub(crate) mod resize;
pub(crate) mod superblock;
pub(crate) mod tree;
pub(crate) mod writer;
pub(crate) mod xattr;
