//! Why an image could not be pulled.

use std::io;

use banger_model::Hint;
use banger_sys::files::FileError;

use super::cache::CacheError;
use super::credentials::CredentialsError;
use super::download::{DownloadError, below_floor};
use super::flatten::FlattenError;
use super::local_image::LocalImageError;
use super::registry_error::RegistryError;
use crate::image::FinishError;
use crate::limits::OverLimit;

/// Why an image could not be pulled.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum OciPullError {
    #[error("cannot read the credentials for the registry")]
    Credentials(#[source] CredentialsError),
    #[error(transparent)]
    Registry(RegistryError),
    #[error(transparent)]
    Local(LocalImageError),
    #[error(transparent)]
    Directory(FileError),
    #[error(transparent)]
    Cache(CacheError),
    #[error("cannot write a layer into the cache")]
    Write(#[source] io::Error),
    #[error("the image is larger than allowed")]
    Limit(#[source] OverLimit),
    #[error("cannot build a root file system from the image's layers")]
    Flatten(#[source] FlattenError),
    #[error(transparent)]
    Finish(FinishError),
    #[error("the layers ended before the last one")]
    Incomplete,
}

impl OciPullError {
    /// What to type or do next, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<Hint> {
        match self {
            Self::Registry(error) => error.hint(),
            Self::Local(error) => error.hint(),
            Self::Limit(over) => over.hint(),
            Self::Flatten(error) => error.hint(),
            Self::Write(error) => below_floor(error).map(|_| Hint::FreeSpace),
            Self::Credentials(error) => error.hint(),
            Self::Directory(_) | Self::Cache(_) | Self::Finish(_) | Self::Incomplete => None,
        }
    }
}

impl From<DownloadError> for OciPullError {
    fn from(error: DownloadError) -> Self {
        match error {
            DownloadError::Registry(error) => Self::Registry(error),
            DownloadError::Cache(error) => Self::Cache(error),
            DownloadError::Write(error) => Self::Write(error),
        }
    }
}
