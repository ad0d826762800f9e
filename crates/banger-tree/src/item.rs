//! What a tree is made of, as it travels.

use bytes::Bytes;

use crate::{EntryName, Metadata};

/// One step of a walk through a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A directory; what follows is in it, up to [`Item::Leave`].
    Enter {
        /// `None`: not the directory but its contents are meant. Only at the top.
        name: Option<EntryName>,
        /// `None`: the directory is a way to something else; what it is stays as it is.
        metadata: Option<Metadata>,
    },
    /// The directory entered last has nothing more.
    Leave,
    /// A regular file; its bytes follow, up to [`Item::FileEnd`] or [`Item::FileBroken`].
    File {
        /// Name.
        name: EntryName,
        /// Permissions, owner, time.
        metadata: Metadata,
        /// Bytes that it is expected to have.
        size: u64,
    },
    /// Bytes of the file. What lies between them is a hole.
    Data {
        /// Where they begin.
        offset: u64,
        /// The bytes.
        content: Bytes,
    },
    /// The file is whole.
    FileEnd {
        /// Its size.
        size: u64,
    },
    /// The file could not be read to its end: it is dropped. A [`Item::Skipped`] tells why.
    FileBroken,
    /// A symbolic link.
    Link {
        /// Name.
        name: EntryName,
        /// Owner, time.
        metadata: Metadata,
        /// Where it leads: taken as it is, never followed.
        target: Vec<u8>,
    },
    /// Something that does not come along.
    Skipped(Skipped),
    /// The tree is whole. Without it a stream was cut off.
    End,
}

/// Something that does not come along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its path, as the reader was asked for it.
    pub path: Vec<u8>,
    /// Why, as a fragment of a sentence.
    pub reason: String,
    /// It should have come: otherwise it is of a kind that cannot be copied, as a socket.
    pub is_failure: bool,
}
