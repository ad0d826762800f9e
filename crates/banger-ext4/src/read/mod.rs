//! Reads a file system as it lies in its file: no mount, no root, and no trust. Whatever is in the file, reading ends,
//! and it ends with an error that names what is wrong and not with a panic. Follows symbolic links where it is asked to only, and
//! never out of the file system.
//!
//! A file system whose journal has to be replayed first is refused.

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
