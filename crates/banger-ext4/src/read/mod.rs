//! Reads a file system from its file, without mounting, root or trust. Whatever the file contains, reading ends, either with
//! a result or with an error that names the problem, and never with a panic. Symbolic links are followed only on request,
//! and never out of the file system.
//!
//! A file system whose journal must be replayed first is refused.

mod block_map;
mod descriptor;
mod directory;
mod error;
mod fields;
mod file;
mod inode;
mod reader;
mod resolve;
mod superblock;
mod volume;
mod walk;
mod xattr;

pub use error::ReadError;
pub(crate) use file::FileContent;
pub use inode::{Entry, EntryBody};
pub use reader::Ext4Reader;
pub(crate) use walk::Descend;
pub use walk::TreeEntry;
