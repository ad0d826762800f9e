//! Writes, reads and changes ext4 file systems in plain files: no mount, no root, no C tools.
//!
//! [`Ext4Writer`] takes entries one by one, a whole tar stream, or a tree of another file system, and streams file contents
//! to the disk as they arrive; the tree stays in memory and all metadata is written at the end. [`format_empty`] makes an
//! empty disk in milliseconds. Layers can be stacked, and can hide entries of lower layers ([`Ext4Writer::begin_layer`]).
//! The same input gives the same bytes.
//!
//! [`Ext4Reader`] reads a file system without trusting it. [`Ext4Edit`] changes a file system by writing a new one beside
//! it, so that a reader finds the old one or the new one.

mod content;
mod copy;
mod disk;
mod edit;
mod entry;
mod error;
mod options;
mod path;
mod read;
mod tar;
mod write;

pub use edit::Ext4Edit;
pub use entry::{EntryKind, Found, Metadata};
pub use error::{EntryFault, FormatError, Resource};
pub use options::{FormatOptions, Journal, image_size_for};
pub use read::{Entry, EntryBody, Ext4Reader, ReadError, TreeEntry};
pub use tar::member::Lost;
pub use tar::source::{TarAction, TarKind, TarMember, TarSummary, TarVisitor};
pub use write::finish::FormatSummary;
pub use write::writer::{Ext4Writer, format_empty};
