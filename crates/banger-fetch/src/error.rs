//! The reasons why a download fails.

use std::fmt;
use std::io;
use std::time::Duration;

use reqwest::StatusCode;

use crate::detour::Detour;
use crate::unreachable::Unreachable;

/// The reason why a download fails. `server` is a noun phrase of the caller, such as "the registry `docker.io`"; addresses
/// are left out because they may carry signatures. The chains of the HTTP library are only in the log.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum FetchError {
    #[error("cannot set up an HTTP client")]
    Client(#[source] reqwest::Error),
    #[error("`{text}` is not a valid URL")]
    Address { text: String },
    #[error("cannot reach {server}")]
    Reach { server: String, source: Unreachable },
    #[error("{server} sent nothing for {} s", waited.as_secs_f32())]
    Silent { server: String, waited: Duration },
    #[error("{server} sent almost nothing within {} s", window.as_secs_f32())]
    Slow { server: String, window: Duration },
    #[error("the {what} from {server} was not complete after {} s", waited.as_secs_f32())]
    Late { server: String, what: &'static str, waited: Duration },
    #[error("{server} returned status {status}")]
    Status { server: String, status: StatusCode },
    #[error("refused to follow a redirect from {server}")]
    Led { server: String, source: Detour },
    #[error("the connection to {server} was lost")]
    Broken { server: String },
    #[error("the {what} on {server} changed during the download")]
    Changed { server: String, what: &'static str },
    #[error("{server} sent only {found} of the {wanted} bytes of the {what}")]
    Truncated { server: String, what: &'static str, wanted: u64, found: u64 },
    #[error("the {what} from {server} is larger than {}", Size(*bytes_max))]
    TooLarge { server: String, what: &'static str, bytes_max: u64 },
    #[error("{server} sent a {what} with the digest sha256:{found} instead of sha256:{wanted}")]
    WrongDigest { server: String, what: &'static str, wanted: String, found: String },
    #[error("cannot write the {what} from {server}")]
    Write { server: String, what: &'static str, source: io::Error },
}

/// An error of a [`Source`](crate::Source): one of a download, or one that the source adds.
pub trait SourceError: std::error::Error + From<FetchError> + Send + Sync + 'static {
    /// Tells whether the same request may succeed in a moment.
    fn is_transient(&self) -> bool;

    /// Returns how long the server asks to be left alone.
    fn retry_after(&self) -> Option<Duration> {
        None
    }

    /// Tells whether the server has nothing at the requested offset (status 416).
    fn is_out_of_range(&self) -> bool;
}

impl SourceError for FetchError {
    fn is_transient(&self) -> bool {
        match self {
            Self::Reach { source, .. } => source.is_transient(),
            Self::Silent { .. }
            | Self::Slow { .. }
            | Self::Broken { .. }
            | Self::Truncated { .. }
            | Self::WrongDigest { .. } => true,
            Self::Status { status, .. } => status.is_server_error() || *status == StatusCode::REQUEST_TIMEOUT,
            Self::Client(_)
            | Self::Address { .. }
            | Self::Late { .. }
            | Self::Led { .. }
            | Self::Changed { .. }
            | Self::TooLarge { .. }
            | Self::Write { .. } => false,
        }
    }

    fn is_out_of_range(&self) -> bool {
        matches!(self, Self::Status { status: StatusCode::RANGE_NOT_SATISFIABLE, .. })
    }
}

/// A limit as people read it.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes > 0 && bytes.is_multiple_of(1 << 30) => write!(formatter, "{} GiB", bytes >> 30),
            bytes if bytes > 0 && bytes.is_multiple_of(1 << 20) => write!(formatter, "{} MiB", bytes >> 20),
            bytes => write!(formatter, "{bytes} bytes"),
        }
    }
}
