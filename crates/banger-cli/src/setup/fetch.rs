//! Downloads an archive into a file and returns its digest, which the caller compares with the catalog.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_fetch::{FetchError, Patience, Size, UrlSource, Wanted, fill};
use reqwest::Url;

use super::archive::ARCHIVE_BYTES_MAX;

/// Limit for the whole download: the largest archive at 100 kB/s.
pub(super) const DEADLINE: Duration = Duration::from_secs(660);

/// The reason why an archive did not come.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DownloadError {
    #[error(transparent)]
    Fetch(FetchError),
    #[error("it was not complete after {} s", DEADLINE.as_secs())]
    TooSlow,
    #[error("cannot open `{}`", path.display())]
    Open { path: PathBuf, source: io::Error },
}

/// Writes the archive to a file that is there already, and returns its SHA-256.
pub(super) async fn fetch(url: &str, path: &Path) -> Result<String, DownloadError> {
    let fetched = tokio::time::timeout(DEADLINE, fetch_all(url, path)).await;
    fetched.unwrap_or_else(|_late| Err(DownloadError::TooSlow))
}

async fn fetch_all(url: &str, path: &Path) -> Result<String, DownloadError> {
    let parsed = Url::parse(url).ok().filter(Url::has_host);
    let parsed = parsed.ok_or_else(|| DownloadError::Fetch(FetchError::Address { text: url.to_owned() }))?;
    let server = format!("`{}`", parsed.host_str().unwrap_or_default());
    let source = UrlSource::new(parsed, server, patience(), Vec::new()).map_err(DownloadError::Fetch)?;
    let file = File::options().read(true).write(true).open(path);
    let file = file.map_err(|source| DownloadError::Open { path: path.to_owned(), source })?;
    let size = Size::AtMost(ARCHIVE_BYTES_MAX);
    let wanted = Wanted { what: "archive", size, sha256: None, decode: None };
    let filled = fill(&source, file, &wanted, &|_| {}).await.map_err(DownloadError::Fetch)?;
    Ok(filled.sha256)
}

/// Somebody waits before a terminal, so there are few tries.
fn patience() -> Patience {
    Patience { connect: Duration::from_secs(15), tries_max: 3, ..Patience::default() }
}
