//! Why a bundle is refused, or cannot be made.

use std::io;
use std::path::PathBuf;

use banger_model::Sha256;
use banger_sys::exec::ToolError;
use banger_sys::files::FileError;

use super::unpack::ROOTFS_BYTES_MAX;
use crate::limits::OverLimit;

/// Why a bundle is refused. Nothing is left of it.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum BundleError {
    #[error("cannot read it")]
    Read(#[source] io::Error),
    #[error("cannot write `{}`", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("its entry `{entry}` leads out of it")]
    Unsafe { entry: String },
    #[error("its entry `{entry}` is not one of an image's bundle")]
    Unexpected { entry: String },
    #[error("its entry `{entry}` is no plain file")]
    NoFile { entry: String },
    #[error("its entry `{entry}` comes twice")]
    Twice { entry: String },
    #[error("its entry `{entry}` is missing")]
    Missing { entry: &'static str },
    #[error("its root has more than {} GiB", ROOTFS_BYTES_MAX >> 30)]
    TooLarge,
    #[error(transparent)]
    Limit(OverLimit),
    #[error("its manifest makes no sense")]
    Manifest(#[source] serde_json::Error),
    #[error("its manifest has format {version}, and this banger knows {known}")]
    NewerManifest { version: u32, known: u32 },
    #[error("its root is not the one of its manifest")]
    OtherRootfs,
    #[error("there is something after the archive's end")]
    Trailer,
    #[error("its sha256 is {found}, not {expected}")]
    OtherSha256 { expected: Sha256, found: String },
    #[error("its signature makes no sense")]
    Signature(#[source] minisign_verify::Error),
    #[error("it is not signed with the key `{key}`")]
    NotSigned { key: String, source: minisign_verify::Error },
}

/// Why no bundle could be made of an image. Nothing is left of it.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum PackError {
    #[error("there is a file `{}` already", path.display())]
    Exists { path: PathBuf },
    #[error("cannot read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write `{}`", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("the image has a work-seed of its own, for which a bundle has no place")]
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
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Compress(ToolError::Missing { tool }) => Some(format!("sudo apt-get install {tool}")),
            Self::Exists { .. }
            | Self::Read { .. }
            | Self::Write { .. }
            | Self::OwnHome
            | Self::OtherRootfs
            | Self::Manifest(_)
            | Self::Compress(_)
            | Self::Publish(_) => None,
        }
    }
}
