//! Gets a bundle: from a file of this host, or over HTTP, where a connection that breaks is taken up again.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use banger_fetch::Patience;
use banger_fetch::{Detour, Pace, Question, Web, WebError, WebOptions};
use banger_model::Hint;
use banger_sys::files::open_regular;
use bytes::{Buf as _, Bytes};
use reqwest::header::{CONTENT_RANGE, ETAG, HeaderValue, IF_RANGE, RANGE};
use reqwest::{Response, StatusCode, Url};
use tokio::sync::mpsc;

use super::location::BundleLocation;
use crate::pull_rules::trust;

/// Chunks of the network that wait to be unpacked, each of some kilobytes.
const CHUNKS_WAITING_MAX: usize = 64;
/// A try that brought less has not come further.
const PROGRESS_BYTES: u64 = 1 << 20;

/// Why a bundle does not come.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum FetchError {
    #[error("cannot open `{}`", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("cannot set up an HTTP client")]
    Client(#[source] reqwest::Error),
    #[error("cannot reach `{host}`")]
    Reach { host: String, source: reqwest::Error },
    #[error("`{host}` sent nothing for {} s", waited.as_secs())]
    Silent { host: String, waited: Duration },
    #[error("`{host}` returned status {status}")]
    Status { host: String, status: StatusCode },
    #[error("`{host}` sent almost nothing within {} s", window.as_secs())]
    Slow { host: String, window: Duration },
    #[error("refused to follow a redirect from `{host}`")]
    Led { host: String, source: Detour },
    #[error("the connection to `{host}` was lost")]
    Broken { host: String, source: reqwest::Error },
    #[error("the file on `{host}` changed during the download")]
    Changed { host: String },
    #[error("`{what}` is larger than {bytes_max} bytes")]
    TooLarge { what: String, bytes_max: u64 },
}

impl FetchError {
    /// Tells whether another try may help.
    fn is_transient(&self) -> bool {
        match self {
            Self::Reach { .. } | Self::Silent { .. } | Self::Slow { .. } | Self::Broken { .. } => true,
            Self::Status { status, .. } => status.is_server_error(),
            Self::Open { .. }
            | Self::Client(_)
            | Self::Led { .. }
            | Self::Changed { .. }
            | Self::TooLarge { .. } => false,
        }
    }

    /// What to do next, where that is known.
    pub(super) fn hint(&self) -> Option<Hint> {
        match self {
            Self::Led { source, .. } => source.place_to_trust().map(trust),
            Self::Open { .. }
            | Self::Client(_)
            | Self::Reach { .. }
            | Self::Silent { .. }
            | Self::Slow { .. }
            | Self::Status { .. }
            | Self::Broken { .. }
            | Self::Changed { .. }
            | Self::TooLarge { .. } => None,
        }
    }
}

/// A bundle that has begun to come.
pub(super) enum Source {
    File(File),
    Remote(Box<Download>),
}

/// Begins to get what is at a location; returns it with its size, where that is known.
pub(super) async fn open(
    location: &BundleLocation,
    patience: Patience,
    trusted: &[String],
) -> Result<(Source, Option<u64>), FetchError> {
    match location {
        BundleLocation::File(path) => {
            let opened = open_regular(path).and_then(|file| Ok((file.metadata()?.len(), file)));
            let (size, file) = opened.map_err(|source| FetchError::Open { path: path.clone(), source })?;
            Ok((Source::File(file), Some(size)))
        }
        BundleLocation::Url(url) => {
            let download = Download::begin(url, patience, trusted).await?;
            let size = download.response.content_length();
            Ok((Source::Remote(Box::new(download)), size))
        }
    }
}

/// Gets something small as text.
pub(super) async fn read_text(
    location: &BundleLocation,
    bytes_max: u64,
    patience: Patience,
    trusted: &[String],
) -> Result<String, FetchError> {
    let too_large = || FetchError::TooLarge { what: location.to_string(), bytes_max };
    let mut text = Vec::new();
    match open(location, patience, trusted).await?.0 {
        Source::File(file) => {
            let read = file.take(bytes_max + 1).read_to_end(&mut text);
            let path = PathBuf::from(location.to_string());
            read.map_err(|source| FetchError::Open { path, source })?;
        }
        Source::Remote(mut download) => {
            while let Some(bytes) = download.next().await? {
                text.extend_from_slice(&bytes);
                if text.len() as u64 > bytes_max {
                    return Err(too_large());
                }
            }
        }
    }
    if text.len() as u64 > bytes_max {
        return Err(too_large());
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// A file on its way over HTTP.
pub(super) struct Download {
    web: Web,
    url: Url,
    response: Response,
    patience: Patience,
    pace: Pace,
    /// Bytes that came so far.
    offset: u64,
    in_vain: u32,
    /// Where the latest try began to count.
    counted_from: u64,
}

impl Download {
    async fn begin(url: &Url, patience: Patience, trusted: &[String]) -> Result<Self, FetchError> {
        let options = WebOptions {
            connect_deadline: patience.connect,
            trusted: trusted.to_owned(),
            ..WebOptions::default()
        };
        let web = Web::new(url.clone(), options).map_err(|error| failed(url, error))?;
        let response = get(&web, url, None, patience).await?;
        if !response.status().is_success() {
            return Err(FetchError::Status { host: host(url), status: response.status() });
        }
        let (url, pace) = (url.clone(), patience.pace());
        Ok(Self { web, url, response, patience, pace, offset: 0, in_vain: 0, counted_from: 0 })
    }

    /// Returns the next bytes; nothing at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        loop {
            let (begin, waited) = (Instant::now(), self.patience.idle);
            let error = match tokio::time::timeout(waited, self.response.chunk()).await {
                Ok(Ok(bytes)) => {
                    let count = bytes.as_ref().map_or(0, Bytes::len);
                    if bytes.is_none() || self.pace.is_kept(begin.elapsed(), count) {
                        self.offset += count as u64;
                        return Ok(bytes);
                    }
                    FetchError::Slow { host: host(&self.url), window: self.patience.window }
                }
                Ok(Err(error)) => FetchError::Broken { host: host(&self.url), source: error.without_url() },
                Err(_elapsed) => FetchError::Silent { host: host(&self.url), waited },
            };
            self.take_up(error).await?;
        }
    }

    /// Goes on where the connection broke; gives the error back when that is in vain.
    async fn take_up(&mut self, mut error: FetchError) -> Result<(), FetchError> {
        if self.offset >= self.counted_from + PROGRESS_BYTES {
            self.in_vain = 0;
        }
        self.counted_from = self.offset;
        loop {
            self.in_vain += 1;
            if !error.is_transient() || self.in_vain >= self.patience.tries_max {
                return Err(error);
            }
            let pause = self.patience.first_pause.saturating_mul(1 << (self.in_vain - 1).min(16));
            tokio::time::sleep(pause.min(self.patience.pause_max)).await;
            match self.again().await {
                Ok(response) => {
                    self.response = response;
                    return Ok(());
                }
                Err(next) => error = next,
            }
        }
    }

    async fn again(&self) -> Result<Response, FetchError> {
        let tag = self.response.headers().get(ETAG).cloned();
        let from = HeaderValue::try_from(format!("bytes={}-", self.offset)).ok();
        let response = get(&self.web, &self.url, from.map(|from| (from, tag)), self.patience).await?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if starts_at(&response, self.offset) => Ok(response),
            // The whole file: another one, or from a server that knows no parts.
            status if status.is_success() => Err(FetchError::Changed { host: host(&self.url) }),
            status => Err(FetchError::Status { host: host(&self.url), status }),
        }
    }

    /// Hands everything over; ends when nobody takes it any more.
    pub(super) async fn send_to(mut self, sender: mpsc::Sender<io::Result<Bytes>>) {
        loop {
            let chunk = match self.next().await {
                Ok(Some(bytes)) => Ok(bytes),
                Ok(None) => return,
                Err(error) => Err(io::Error::other(error)),
            };
            let is_last = chunk.is_err();
            if sender.send(chunk).await.is_err() || is_last {
                return;
            }
        }
    }
}

async fn get(
    web: &Web,
    url: &Url,
    from: Option<(HeaderValue, Option<HeaderValue>)>,
    patience: Patience,
) -> Result<Response, FetchError> {
    let mut question = Question::get(url.clone());
    if let Some((from, tag)) = from {
        question.headers.insert(RANGE, from);
        // Weak tags do not say that the bytes are the same.
        if let Some(tag) = tag.filter(|tag| !tag.as_bytes().starts_with(b"W/")) {
            question.headers.insert(IF_RANGE, tag);
        }
    }
    let waited = patience.connect + patience.idle;
    match tokio::time::timeout(waited, web.ask(&question)).await {
        Ok(Ok(answer)) => Ok(answer.response),
        Ok(Err(WebError::Reach(error))) if error.is_timeout() => {
            Err(FetchError::Silent { host: host(url), waited })
        }
        Ok(Err(error)) => Err(failed(url, error)),
        Err(_elapsed) => Err(FetchError::Silent { host: host(url), waited }),
    }
}

fn failed(url: &Url, error: WebError) -> FetchError {
    match error {
        WebError::Client(source) => FetchError::Client(source),
        WebError::Reach(source) => FetchError::Reach { host: host(url), source },
        WebError::Detour(source) => FetchError::Led { host: host(url), source },
    }
}

fn starts_at(response: &Response, offset: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let start = range.and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.parse::<u64>().ok());
    start == Some(offset)
}

fn host(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

/// Returns both ends of what comes: the network's, and the one that is read from where blocking is allowed.
pub(super) fn channel() -> (mpsc::Sender<io::Result<Bytes>>, ChunkReader) {
    let (sender, receiver) = mpsc::channel(CHUNKS_WAITING_MAX);
    (sender, ChunkReader { receiver, chunk: Bytes::new() })
}

/// Reads chunks that another task brings.
pub(super) struct ChunkReader {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    chunk: Bytes,
}

impl Read for ChunkReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match self.receiver.blocking_recv() {
                Some(chunk) => self.chunk = chunk?,
                None => return Ok(0),
            }
        }
        let count = self.chunk.len().min(buffer.len());
        self.chunk.copy_to_slice(buffer.get_mut(..count).unwrap_or_default());
        Ok(count)
    }
}
