//! The items of a tree in transit.

use bytes::Bytes;

use crate::{EntryName, Metadata};

/// One step of a walk through a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say what the fields are")]
pub enum Item {
    /// A directory; the items that follow are in it, up to [`Item::Leave`].
    Enter {
        /// `None` means the contents of the directory instead of the directory. Only at the top.
        name: Option<EntryName>,
        /// `None` if the directory only leads to another entry; its metadata stays as it is.
        metadata: Option<Metadata>,
    },
    /// The end of the directory that was entered last.
    Leave,
    /// A regular file; its bytes follow, up to [`Item::FileEnd`] or [`Item::FileBroken`].
    File {
        name: EntryName,
        metadata: Metadata,
        /// Expected number of bytes.
        size: u64,
    },
    /// Bytes of the file. Gaps between them are holes.
    Data {
        /// Position of the first byte in the file.
        offset: u64,
        content: Bytes,
    },
    /// The file is complete.
    FileEnd { size: u64 },
    /// The file could not be read to its end, so it is dropped. An [`Item::Skipped`] says why.
    FileBroken,
    /// A symbolic link.
    Link {
        name: EntryName,
        metadata: Metadata,
        /// The link's text, copied as it is and never followed.
        target: Vec<u8>,
    },
    /// An entry that is left out.
    Skipped(Skipped),
    /// The tree is complete. A stream without this item was cut off.
    End,
}

/// An entry that is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its path, as given to the reader.
    pub path: Vec<u8>,
    /// The reason, as a fragment of a sentence.
    pub reason: String,
    /// Whether the entry should have been copied; otherwise it is of a kind that cannot be, such as a socket.
    pub is_failure: bool,
}
