//! Opens a bundle: a file of this host, or a download.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;

use banger_fetch::{Download, FetchError, Patience, UrlSource, has_proxy};
use banger_model::Hint;
use banger_sys::files::open_regular;
use reqwest::Url;

use super::error::ROOTFS_BYTES_MAX;
use super::location::BundleLocation;
use crate::fetch_hint::hint_of;

/// The reason why a bundle or its signature does not come.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum BundleFetchError {
    #[error("cannot open `{}`", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("`{}` is larger than {bytes_max} bytes", path.display())]
    TooLarge { path: PathBuf, bytes_max: u64 },
    #[error(transparent)]
    Fetch(FetchError),
}

impl BundleFetchError {
    /// What to do next, where that is known.
    pub(super) fn hint(&self) -> Option<Hint> {
        match self {
            Self::Fetch(error) => hint_of(error, has_proxy()),
            Self::Open { .. } | Self::TooLarge { .. } => None,
        }
    }
}

/// A bundle that can be read.
pub(super) enum Opened {
    File(File),
    Remote(Box<Download<UrlSource>>),
}

/// Opens what is at a location; returns it with its size in bytes, where that is known.
pub(super) async fn open(
    location: &BundleLocation,
    patience: Patience,
    trusted: &[String],
) -> Result<(Opened, Option<u64>), BundleFetchError> {
    match location {
        BundleLocation::File(path) => {
            let opened = open_regular(path).and_then(|file| Ok((file.metadata()?.len(), file)));
            let (size, file) =
                opened.map_err(|source| BundleFetchError::Open { path: path.clone(), source })?;
            Ok((Opened::File(file), Some(size)))
        }
        BundleLocation::Url(url) => {
            let download = begin(url, "bundle", ROOTFS_BYTES_MAX, (patience, trusted)).await?;
            let size = download.size();
            Ok((Opened::Remote(Box::new(download)), size))
        }
    }
}

/// Reads the signature at a location.
pub(super) async fn read_signature(
    location: &BundleLocation,
    bytes_max: u64,
    patience: Patience,
    trusted: &[String],
) -> Result<String, BundleFetchError> {
    let mut text = Vec::new();
    match location {
        BundleLocation::File(path) => {
            let read = open_regular(path).and_then(|file| file.take(bytes_max + 1).read_to_end(&mut text));
            read.map_err(|source| BundleFetchError::Open { path: path.clone(), source })?;
            if text.len() as u64 > bytes_max {
                return Err(BundleFetchError::TooLarge { path: path.clone(), bytes_max });
            }
        }
        BundleLocation::Url(url) => {
            let download = begin(url, "signature", bytes_max, (patience, trusted)).await?;
            text = download.whole().await.map_err(BundleFetchError::Fetch)?;
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

async fn begin(
    url: &Url,
    what: &'static str,
    bytes_max: u64,
    (patience, trusted): (Patience, &[String]),
) -> Result<Download<UrlSource>, BundleFetchError> {
    let server = format!("`{}`", url.host_str().unwrap_or_default());
    let source = UrlSource::new(url.clone(), server, patience, trusted.to_owned());
    let source = source.map_err(BundleFetchError::Fetch)?;
    Download::begin(source, what, bytes_max).await.map_err(BundleFetchError::Fetch)
}
