//! Gets an archive from the network into a file, with its digest. What comes is never more than is expected, and nothing is
//! waited for without an end.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Client, redirect};
use sha2::{Digest as _, Sha256};

use super::archive::{ARCHIVE_BYTES_MAX, hexadecimal};

/// A connection that is not there by then does not come.
const CONNECT_DEADLINE: Duration = Duration::from_secs(15);
/// Silence that is no slow network any more.
const SILENCE_DEADLINE: Duration = Duration::from_secs(30);
/// All of it: the largest archive at 100 kB/s.
pub(super) const DEADLINE: Duration = Duration::from_secs(660);
const REDIRECTS_MAX: usize = 5;

/// Why an archive did not come.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("cannot fetch `{url}`")]
    Network { url: String, source: reqwest::Error },
    #[error("`{url}` broke off")]
    BrokeOff { url: String, source: reqwest::Error },
    #[error("`{url}` answers {status}")]
    Status { url: String, status: u16 },
    #[error("`{url}` did not come within {} s", DEADLINE.as_secs())]
    TooSlow { url: String },
    #[error("`{url}` is larger than {} MiB", ARCHIVE_BYTES_MAX >> 20)]
    TooLarge { url: String },
    #[error("cannot write `{}`", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// Writes the archive to a file that is there already, and returns its SHA-256.
pub(super) async fn fetch(url: &str, path: &Path) -> Result<String, FetchError> {
    let fetched = tokio::time::timeout(DEADLINE, fetch_all(url, path)).await;
    fetched.unwrap_or_else(|_late| Err(FetchError::TooSlow { url: url.to_owned() }))
}

async fn fetch_all(url: &str, path: &Path) -> Result<String, FetchError> {
    let network =
        |source: reqwest::Error| FetchError::Network { url: url.to_owned(), source: source.without_url() };
    let broke_off =
        |source: reqwest::Error| FetchError::BrokeOff { url: url.to_owned(), source: source.without_url() };
    let write = |source| FetchError::Write { path: path.to_owned(), source };
    let mut answer = client().map_err(network)?.get(url).send().await.map_err(network)?;
    if !answer.status().is_success() {
        return Err(FetchError::Status { url: url.to_owned(), status: answer.status().as_u16() });
    }
    let mut file = File::options().write(true).truncate(true).open(path).map_err(write)?;
    let mut digest = Sha256::new();
    let mut bytes = 0;
    while let Some(part) = answer.chunk().await.map_err(broke_off)? {
        bytes += part.len() as u64;
        if bytes > ARCHIVE_BYTES_MAX {
            return Err(FetchError::TooLarge { url: url.to_owned() });
        }
        digest.update(&part);
        file.write_all(&part).map_err(write)?;
    }
    Ok(hexadecimal(&digest.finalize()))
}

fn client() -> Result<Client, reqwest::Error> {
    // An error means that somebody else has chosen already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .user_agent(concat!("banger/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_DEADLINE)
        .read_timeout(SILENCE_DEADLINE)
        .redirect(redirect::Policy::limited(REDIRECTS_MAX))
        .build()
}
