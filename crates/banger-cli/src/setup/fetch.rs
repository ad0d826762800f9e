//! Gets an archive from the network into a file, with its digest. What comes is never more than is expected, and nothing is
//! waited for without an end.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_fetch::{Detour, Question, Web, WebError, WebOptions};
use reqwest::{Response, Url};
use sha2::{Digest as _, Sha256};

use super::archive::{ARCHIVE_BYTES_MAX, hexadecimal};

/// A connection that is not there by then does not come.
const CONNECT_DEADLINE: Duration = Duration::from_secs(15);
/// Silence that is no slow network any more.
const SILENCE_DEADLINE: Duration = Duration::from_secs(30);
/// All of it: the largest archive at 100 kB/s.
pub(super) const DEADLINE: Duration = Duration::from_secs(660);

/// Why an archive did not come.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("cannot fetch `{url}`")]
    Network { url: String, source: reqwest::Error },
    #[error("`{url}` is not a valid URL")]
    Address { url: String },
    #[error("`{url}` sent nothing for {} s", SILENCE_DEADLINE.as_secs())]
    Silent { url: String },
    #[error("refused to follow a redirect from `{url}`")]
    Led { url: String, source: Detour },
    #[error("the download of `{url}` was interrupted")]
    BrokeOff { url: String, source: reqwest::Error },
    #[error("`{url}` returned status {status}")]
    Status { url: String, status: u16 },
    #[error("`{url}` could not be downloaded within {} s", DEADLINE.as_secs())]
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
    let broke_off =
        |source: reqwest::Error| FetchError::BrokeOff { url: url.to_owned(), source: source.without_url() };
    let write = |source| FetchError::Write { path: path.to_owned(), source };
    let mut answer = ask(url).await?;
    if !answer.status().is_success() {
        return Err(FetchError::Status { url: url.to_owned(), status: answer.status().as_u16() });
    }
    let mut file = File::options().write(true).truncate(true).open(path).map_err(write)?;
    let mut digest = Sha256::new();
    let mut bytes = 0;
    while let Some(part) = in_time(url, answer.chunk()).await?.map_err(broke_off)? {
        bytes += part.len() as u64;
        if bytes > ARCHIVE_BYTES_MAX {
            return Err(FetchError::TooLarge { url: url.to_owned() });
        }
        digest.update(&part);
        file.write_all(&part).map_err(write)?;
    }
    Ok(hexadecimal(&digest.finalize()))
}

async fn ask(url: &str) -> Result<Response, FetchError> {
    let failed = |error| match error {
        WebError::Client(source) | WebError::Reach(source) => {
            FetchError::Network { url: url.to_owned(), source: source.without_url() }
        }
        WebError::Detour(source) => FetchError::Led { url: url.to_owned(), source },
    };
    let address = Url::parse(url).ok().filter(Url::has_host);
    let address = address.ok_or_else(|| FetchError::Address { url: url.to_owned() })?;
    let options = WebOptions { connect_deadline: CONNECT_DEADLINE, ..WebOptions::default() };
    let web = Web::new(address.clone(), options).map_err(failed)?;
    let question = Question::get(address);
    Ok(in_time(url, web.ask(&question)).await?.map_err(failed)?.response)
}

/// Waits as long as a slow network may be silent.
async fn in_time<T>(url: &str, work: impl Future<Output = T>) -> Result<T, FetchError> {
    let done = tokio::time::timeout(SILENCE_DEADLINE, work).await;
    done.map_err(|_elapsed| FetchError::Silent { url: url.to_owned() })
}
