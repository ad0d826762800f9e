//! Writes ext4 file systems into plain files: no mount, no root, no C tools.
//!
//! [`Ext4Writer`] takes entries one by one, or a whole tar stream, and streams file contents to the disk as they come;
//! the tree stays in memory and all metadata is written at the end. [`format_empty`] makes an empty disk in milliseconds.
//! Layers may lie over each other and hide what is below ([`Ext4Writer::begin_layer`]).
//! The same input gives the same bytes. The crate does not change a file system that exists already.

mod acl;
mod allocator;
mod block_file;
mod bytes;
mod checksum;
mod content;
mod directory;
mod entry;
mod error;
mod extent;
mod finish;
mod geometry;
mod group;
mod htree;
mod inode;
mod inode_table;
mod journal;
mod name_hash;
mod options;
mod path;
mod pax;
mod resize;
mod sparse;
mod superblock;
mod tar_member;
mod tar_source;
mod tree;
mod writer;
mod xattr;

pub use entry::{EntryKind, Metadata};
pub use error::{FormatError, Resource};
pub use options::{FormatOptions, Journal, image_size_for};
pub use tar_source::{TarAction, TarKind, TarMember, TarSummary};
pub use writer::{Ext4Writer, FormatSummary, Found, format_empty};
