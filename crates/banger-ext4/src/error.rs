//! The reasons why a file system cannot be made.

use std::io;
use std::path::PathBuf;

use crate::read::ReadError;

/// The resource that a file system ran out of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Blocks for contents or metadata.
    Blocks,
    /// Inodes.
    Inodes,
}

impl std::fmt::Display for Resource {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Blocks => "blocks",
            Self::Inodes => "inodes",
        })
    }
}

/// The reason why a file system cannot be made. Paths inside it are shown with invalid UTF-8 replaced.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum FormatError {
    #[error("cannot create the file system `{}`", path.display())]
    CreateFile { path: PathBuf, source: io::Error },
    #[error("cannot write the file system `{}`", path.display())]
    WriteFile { path: PathBuf, source: io::Error },
    #[error("cannot sync the file system `{}`", path.display())]
    SyncFile { path: PathBuf, source: io::Error },

    #[error("a file system of {size_bytes} bytes has too few {resource}")]
    NoSpace { resource: Resource, size_bytes: u64 },
    #[error("{size_bytes} bytes is not a size between 1 MiB and 2 TiB")]
    SizeOutOfRange { size_bytes: u64 },
    #[error("a journal of {journal_bytes} bytes is not between 4 MiB and 32 GiB")]
    JournalOutOfRange { journal_bytes: u64 },
    #[error("the label `{label}` is longer than 16 bytes")]
    LabelTooLong { label: String },

    #[error("the path `{path}` leaves the file system")]
    PathEscapes { path: String },
    #[error("the path `{path}` goes through too many symbolic links")]
    TooManySymlinks { path: String },
    #[error("the path `{path}` has a NUL byte")]
    PathHasNul { path: String },
    #[error("the path `{path}` names the root")]
    PathIsRoot { path: String },
    #[error("the path `{path}` has a name longer than 255 bytes")]
    NameTooLong { path: String },
    #[error("the parent of `{path}` is not a directory")]
    ParentNotDirectory { path: String },
    #[error("cannot replace the directory `{path}` by something else")]
    ReplaceDirectory { path: String },
    #[error("cannot replace `{path}` by a directory")]
    ReplaceByDirectory { path: String },
    #[error("the target `{target}` of the hard link `{path}` does not exist")]
    LinkTargetMissing { path: String, target: String },
    #[error("the target `{target}` of the hard link `{path}` is a directory")]
    LinkTargetIsDirectory { path: String, target: String },
    #[error("`{path}` has more than 65000 hard links")]
    TooManyLinks { path: String },
    #[error("the directory with inode {inode} has too many entries")]
    DirectoryTooLarge { inode: u32 },

    #[error("the symbolic link `{path}` needs a target of 1 to 4095 bytes without NUL, not {bytes} bytes")]
    BadSymlinkTarget { path: String, bytes: usize },
    #[error("the device number {major}:{minor} of `{path}` is out of range")]
    BadDevice { path: String, major: u32, minor: u32 },
    #[error("the file `{path}` of {size} bytes is larger than ext4 allows")]
    FileTooLarge { path: String, size: u64 },
    #[error("cannot read the content of `{path}`")]
    ReadContent { path: String, source: io::Error },
    #[error("the content of `{path}` ends before its {size} bytes")]
    ContentEndsEarly { path: String, size: u64 },

    #[error("the extended attribute `{name}` of `{path}` is in no namespace that ext4 knows")]
    XattrNamespace { path: String, name: String },
    #[error("the extended attribute `{name}` of `{path}` is given twice")]
    XattrTwice { path: String, name: String },
    #[error("the extended attributes of `{path}` do not fit in one block")]
    XattrsTooLarge { path: String },
    #[error("the access control list `{name}` of `{path}` is malformed")]
    AclMalformed { path: String, name: String },

    #[error("cannot read the file system that is copied")]
    ReadSource { source: ReadError },

    #[error("cannot read the tar stream")]
    ReadTar { source: io::Error },
    #[error("the tar stream is damaged at byte {offset}: {reason}")]
    TarDamaged { offset: u64, reason: &'static str },
    #[error("the tar entry `{path}` has the unknown type `{kind}`")]
    TarEntryUnknown { path: String, kind: char },
}

/// The reason why a single entry cannot be added. The file system is complete without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryFault {
    /// Its path contains a loop of symbolic links.
    Circle,
    /// Its name is too long or contains a NUL byte.
    Name,
    /// A hard link's target does not exist or is a directory.
    HardLink,
    /// A hard link's target has as many names already as ext4 allows for one file.
    LinkCount,
    /// A symbolic link's target is empty, too long or contains a NUL byte.
    SymlinkTarget,
    /// Its device number is out of range.
    Device,
    /// It is larger than a file can be.
    Size,
    /// Its extended attributes cannot be stored.
    Attributes,
    /// Its kind is unknown.
    Kind,
}

impl FormatError {
    /// Returns the fault of a single entry, if the error concerns only that entry.
    #[must_use]
    pub fn entry_fault(&self) -> Option<EntryFault> {
        match self {
            Self::TooManySymlinks { .. } => Some(EntryFault::Circle),
            Self::PathHasNul { .. } | Self::NameTooLong { .. } => Some(EntryFault::Name),
            Self::LinkTargetMissing { .. } | Self::LinkTargetIsDirectory { .. } => Some(EntryFault::HardLink),
            Self::TooManyLinks { .. } => Some(EntryFault::LinkCount),
            Self::BadSymlinkTarget { .. } => Some(EntryFault::SymlinkTarget),
            Self::BadDevice { .. } => Some(EntryFault::Device),
            Self::FileTooLarge { .. } => Some(EntryFault::Size),
            Self::XattrNamespace { .. }
            | Self::XattrTwice { .. }
            | Self::XattrsTooLarge { .. }
            | Self::AclMalformed { .. } => Some(EntryFault::Attributes),
            Self::TarEntryUnknown { .. } => Some(EntryFault::Kind),
            Self::CreateFile { .. }
            | Self::WriteFile { .. }
            | Self::SyncFile { .. }
            | Self::NoSpace { .. }
            | Self::SizeOutOfRange { .. }
            | Self::JournalOutOfRange { .. }
            | Self::LabelTooLong { .. }
            | Self::PathEscapes { .. }
            | Self::PathIsRoot { .. }
            | Self::ParentNotDirectory { .. }
            | Self::ReplaceDirectory { .. }
            | Self::ReplaceByDirectory { .. }
            | Self::DirectoryTooLarge { .. }
            | Self::ReadContent { .. }
            | Self::ContentEndsEarly { .. }
            | Self::ReadSource { .. }
            | Self::ReadTar { .. }
            | Self::TarDamaged { .. } => None,
        }
    }
}
