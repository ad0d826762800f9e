//! Why a registry did not give what was asked for.

use std::time::Duration;

use banger_fetch::{FetchError, SourceError, Unreachable, has_proxy};
use banger_model::Hint;

use super::documents::DocumentError;
use crate::fetch_hint::hint_of;

/// Why a registry did not give what was asked for. Addresses are left out of the texts: they may carry signatures.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum RegistryError {
    #[error(transparent)]
    Fetch(FetchError),
    #[error("cannot read the certificate `{path}`")]
    Certificate { path: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("`{registry}` is not a valid registry address")]
    Address { registry: String },
    #[error("the registry `{registry}` requires a login for `{repository}`{}", hint_of_reason(.detail))]
    Unauthorized { registry: String, repository: String, detail: String },
    #[error("the registry `{registry}` denies this user access to `{repository}`{}", hint_of_reason(.detail))]
    Denied { registry: String, repository: String, detail: String },
    #[error("the registry `{registry}` has no `{what}`")]
    NotFound { registry: String, what: String },
    #[error("the registry `{registry}` limits how often this host may ask{}{}", hint_of_reason(.detail), pause(*.retry_after))]
    TooManyRequests { registry: String, detail: String, retry_after: Option<Duration> },
    #[error("the registry `{registry}` answers with status {status}{}{}", hint_of_reason(.detail), pause(*.retry_after))]
    Status { registry: String, status: u16, detail: String, retry_after: Option<Duration> },
    #[error("the registry `{registry}` uses a login method that is not supported")]
    Challenge { registry: String },
    #[error("the registry `{registry}` asks to send the login unencrypted to `{realm}`")]
    OpenRealm { registry: String, realm: String },
    #[error("the token server of the registry `{registry}` returned no token")]
    NoToken { registry: String },
    #[error("the registry `{registry}` has an image of this name that cannot be used")]
    Document { registry: String, source: DocumentError },
}

fn hint_of_reason(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(": {detail}") }
}

/// Told as it was asked for, also where nobody waits that long.
fn pause(retry_after: Option<Duration>) -> String {
    match retry_after.map(|pause| pause.as_secs()) {
        None => String::new(),
        Some(seconds @ 0..=600) => format!("; try again in {seconds} s"),
        Some(seconds @ 601..=172_800) => format!("; try again in {} min", seconds.div_ceil(60)),
        Some(seconds) => format!("; try again in {} days", seconds.div_ceil(86_400)),
    }
}

impl From<FetchError> for RegistryError {
    fn from(error: FetchError) -> Self {
        Self::Fetch(error)
    }
}

impl SourceError for RegistryError {
    fn is_transient(&self) -> bool {
        match self {
            Self::Fetch(error) => error.is_transient(),
            Self::TooManyRequests { .. } => true,
            Self::Status { status, .. } => *status >= 500 || *status == 408,
            Self::Certificate { .. }
            | Self::Address { .. }
            | Self::Unauthorized { .. }
            | Self::Denied { .. }
            | Self::NotFound { .. }
            | Self::Challenge { .. }
            | Self::OpenRealm { .. }
            | Self::NoToken { .. }
            | Self::Document { .. } => false,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooManyRequests { retry_after, .. } | Self::Status { retry_after, .. } => *retry_after,
            Self::Fetch(_)
            | Self::Certificate { .. }
            | Self::Address { .. }
            | Self::Unauthorized { .. }
            | Self::Denied { .. }
            | Self::NotFound { .. }
            | Self::Challenge { .. }
            | Self::OpenRealm { .. }
            | Self::NoToken { .. }
            | Self::Document { .. } => None,
        }
    }

    fn is_out_of_range(&self) -> bool {
        matches!(self, Self::Status { status: 416, .. })
    }
}

impl RegistryError {
    /// What to type or do next, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<Hint> {
        match self {
            Self::Unauthorized { registry, .. }
            | Self::Denied { registry, .. }
            | Self::TooManyRequests { registry, .. } => Some(Hint::LogIn { registry: registry.clone() }),
            Self::Fetch(FetchError::Reach {
                source: Unreachable::UnknownAuthority | Unreachable::NoTls,
                ..
            }) => Some(Hint::TrustRegistry),
            Self::Fetch(error) => hint_of(error, has_proxy()),
            Self::NotFound { .. } => Some(Hint::advice("check the spelling of the repository and the tag")),
            Self::Status { status: 500.., .. } => {
                Some(Hint::advice("the registry has a fault; try again later"))
            }
            Self::Certificate { .. }
            | Self::Address { .. }
            | Self::Status { .. }
            | Self::Challenge { .. }
            | Self::OpenRealm { .. }
            | Self::NoToken { .. }
            | Self::Document { .. } => None,
        }
    }
}
