//! Why a bundle is refused, or cannot be made.

use std::io;
use std::path::PathBuf;

use banger_model::{Hint, Sha256};
use banger_sys::exec::ToolError;
use banger_sys::files::FileError;

use crate::limits::OverLimit;

/// Larger roots are not images for sandboxes.
pub(super) const ROOTFS_BYTES_MAX: u64 = 256 << 30;

/// Why a bundle is refused. Nothing is left of it.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum BundleError {
    #[error("cannot read it")]
    Read(#[source] io::Error),
    #[error("cannot write `{}`", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("its entry `{entry}` leads out of the archive")]
    Unsafe { entry: String },
    #[error("its entry `{entry}` does not belong in an image bundle")]
    Unexpected { entry: String },
    #[error("its entry `{entry}` is not a regular file")]
    NoFile { entry: String },
    #[error("its entry `{entry}` is duplicated")]
    Twice { entry: String },
    #[error("its entry `{entry}` is missing")]
    Missing { entry: &'static str },
    #[error("its root file system is larger than {} GiB", ROOTFS_BYTES_MAX >> 30)]
    TooLarge,
    #[error(transparent)]
    Limit(OverLimit),
    #[error("its manifest is invalid")]
    Manifest(#[source] serde_json::Error),
    #[error("its manifest has format {version}, but this banger supports {known}")]
    NewerManifest { version: u32, known: u32 },
    #[error("its root file system does not match its manifest")]
    OtherRootfs,
    #[error("there is data after the end of the archive")]
    Trailer,
    #[error("its sha256 is {found}, not {expected}")]
    OtherSha256 { expected: Sha256, found: String },
    #[error("its signature is invalid")]
    Signature(#[source] minisign_verify::Error),
    #[error("it is not signed with the key `{key}`")]
    NotSigned { key: String, source: minisign_verify::Error },
}

/// Why no bundle could be made of an image. Nothing is left of it.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum PackError {
    #[error("the file `{}` already exists", path.display())]
    Exists { path: PathBuf },
    #[error("there is no directory `{}`", path.display())]
    NoDirectory { path: PathBuf },
    #[error("cannot read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write `{}`", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("the image has its own work-seed, which a bundle cannot contain")]
    OwnHome,
    #[error("the root of the image has changed")]
    OtherRootfs,
    #[error("cannot write the manifest of the bundle")]
    Manifest(#[source] serde_json::Error),
    #[error("cannot compress the bundle")]
    Compress(#[source] ToolError),
    #[error(transparent)]
    Publish(FileError),
}

impl PackError {
    /// The command that helps, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<Hint> {
        match self {
            Self::Compress(ToolError::Missing { tool }) => Some(Hint::install(tool)),
            Self::Exists { .. } => Some(Hint::ChooseOtherFile),
            Self::NoDirectory { path } => Some(Hint::on_host(format!("mkdir -p {}", path.display()))),
            Self::Read { .. }
            | Self::Write { .. }
            | Self::OwnHome
            | Self::OtherRootfs
            | Self::Manifest(_)
            | Self::Compress(_)
            | Self::Publish(_) => None,
        }
    }
}
