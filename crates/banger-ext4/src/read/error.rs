//! The reasons why a file system cannot be read.

use std::io;
use std::path::{Path, PathBuf};

/// The reason why a file system cannot be read. Paths inside it are shown with invalid UTF-8 replaced.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum ReadError {
    #[error("cannot open the file system `{}`", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("cannot read the file system `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("`{}` is not an ext4 file system", path.display())]
    NotExt4 { path: PathBuf },
    #[error("the file system `{}` was not unmounted cleanly", path.display())]
    NotClean { path: PathBuf },
    #[error("the file system `{}` has the feature `{feature}`, which cannot be read", path.display())]
    Feature { path: PathBuf, feature: String },
    #[error("the file system `{}` is damaged: {reason}", path.display())]
    Damaged { path: PathBuf, reason: &'static str },
    #[error("`{inside}` of the file system `{}` is larger than {bytes_max} bytes", path.display())]
    TooLarge { path: PathBuf, inside: String, bytes_max: u64 },
}

impl ReadError {
    /// Returns the file system that a check (`e2fsck -f`) would repair, if that is what helps.
    #[must_use]
    pub fn path_to_repair(&self) -> Option<&Path> {
        match self {
            Self::NotClean { path } | Self::Damaged { path, .. } => Some(path),
            Self::Open { .. }
            | Self::Read { .. }
            | Self::NotExt4 { .. }
            | Self::Feature { .. }
            | Self::TooLarge { .. } => None,
        }
    }
}
