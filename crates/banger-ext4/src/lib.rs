//! Writes, reads and changes ext4 file systems in plain files: no mount, no root, no C tools.
//!
//! [`Ext4Writer`] takes entries one by one, a whole tar stream, or a tree of another file system, and streams file
//! contents to the disk as they come; the tree stays in memory and all metadata is written at the end. [`format_empty`]
//! makes an empty disk in milliseconds. Layers may lie over each other and hide what is below
//! ([`Ext4Writer::begin_layer`]). The same input gives the same bytes.
//!
//! [`Ext4Reader`] reads whatever is in a file, and trusts none of it. [`Ext4Edit`] changes a file system by writing a new
//! one beside it, so that a reader finds the old one or the new one.

mod acl;
mod allocator;
mod block_file;
mod bytes;
mod checksum;
mod content;
mod copy;
mod directory;
mod edit;
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
mod read;
mod resize;
mod sparse;
mod superblock;
mod tar_header;
mod tar_member;
mod tar_source;
mod tree;
mod writer;
mod xattr;

pub use edit::Ext4Edit;
pub use entry::{EntryKind, Metadata};
pub use error::{EntryFault, FormatError, Resource};
pub use options::{FormatOptions, Journal, image_size_for};
pub use read::{Entry, EntryBody, Ext4Reader, ReadError, TreeEntry};
pub use tar_member::Lost;
pub use tar_source::{TarAction, TarKind, TarMember, TarSummary, TarVisitor};
pub use writer::{Ext4Writer, FormatSummary, Found, format_empty};
