//! Why a registry did not give what was asked for.

use std::time::Duration;

use banger_fetch::Detour;
use banger_model::Hint;

use super::digest::BlobDigest;
use super::documents::DocumentError;
use crate::pull_rules::trust;

/// Why a registry did not give what was asked for. Addresses are left out of the texts: they may carry signatures.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum RegistryError {
    #[error("cannot prepare connections to registries")]
    Client(#[source] reqwest::Error),
    #[error("cannot read the certificate `{path}`")]
    Certificate { path: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("cannot reach the registry `{registry}`")]
    Reach { registry: String, source: reqwest::Error },
    #[error("the registry `{registry}` sent nothing for {} s", waited.as_secs_f32())]
    Silent { registry: String, waited: Duration },
    #[error("the registry `{registry}` sent almost nothing within {} s", window.as_secs_f32())]
    Slow { registry: String, window: Duration },
    #[error("the {what} of the registry `{registry}` was not complete after {} s", waited.as_secs_f32())]
    Late { registry: String, what: &'static str, waited: Duration },
    #[error("`{registry}` is not a valid registry address")]
    Address { registry: String },
    #[error("refused to follow a redirect from the registry `{registry}`")]
    Led { registry: String, source: Detour },
    #[error("the connection to the registry `{registry}` was lost")]
    Broken { registry: String, source: reqwest::Error },
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
    #[error("the {what} of the registry `{registry}` is larger than {bytes_max} bytes")]
    TooLarge { registry: String, what: &'static str, bytes_max: u64 },
    #[error("the registry `{registry}` sent content with the digest {found} instead of {wanted}")]
    WrongDigest { registry: String, wanted: BlobDigest, found: BlobDigest },
    #[error("the registry `{registry}` sent only {found} of the {wanted} bytes of a blob")]
    Truncated { registry: String, wanted: u64, found: u64 },
    #[error("the registry `{registry}` sent more than the {wanted} bytes of a blob")]
    TooLong { registry: String, wanted: u64 },
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

impl RegistryError {
    /// Tells whether the same question may have an answer in a moment.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            // A name that does not resolve, a closed port: the network may be coming up.
            Self::Reach { .. }
            | Self::Silent { .. }
            | Self::Slow { .. }
            | Self::Broken { .. }
            | Self::TooManyRequests { .. }
            | Self::WrongDigest { .. }
            | Self::Truncated { .. } => true,
            Self::Status { status, .. } => *status >= 500 || *status == 408,
            Self::Client(_)
            | Self::Certificate { .. }
            | Self::Late { .. }
            | Self::Address { .. }
            | Self::Led { .. }
            | Self::Unauthorized { .. }
            | Self::Denied { .. }
            | Self::NotFound { .. }
            | Self::Challenge { .. }
            | Self::OpenRealm { .. }
            | Self::NoToken { .. }
            | Self::TooLarge { .. }
            | Self::TooLong { .. }
            | Self::Document { .. } => false,
        }
    }

    /// How long the registry wants to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooManyRequests { retry_after, .. } | Self::Status { retry_after, .. } => *retry_after,
            Self::Client(_)
            | Self::Certificate { .. }
            | Self::Slow { .. }
            | Self::Late { .. }
            | Self::Address { .. }
            | Self::Led { .. }
            | Self::Reach { .. }
            | Self::Silent { .. }
            | Self::Broken { .. }
            | Self::Unauthorized { .. }
            | Self::Denied { .. }
            | Self::NotFound { .. }
            | Self::Challenge { .. }
            | Self::OpenRealm { .. }
            | Self::NoToken { .. }
            | Self::TooLarge { .. }
            | Self::WrongDigest { .. }
            | Self::Truncated { .. }
            | Self::TooLong { .. }
            | Self::Document { .. } => None,
        }
    }

    /// What to type or do next, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<Hint> {
        let login = |registry: &str| Some(Hint::LogIn { registry: registry.to_owned() });
        match self {
            Self::Unauthorized { registry, .. }
            | Self::Denied { registry, .. }
            | Self::TooManyRequests { registry, .. } => login(registry),
            Self::Client(_) => Some(Hint::install("ca-certificates")),
            Self::Reach { source, .. } if is_of_tls(source) => Some(Hint::TrustRegistry),
            Self::Led { source, .. } => source.place_to_trust().map(trust),
            Self::Certificate { .. }
            | Self::Slow { .. }
            | Self::Late { .. }
            | Self::Address { .. }
            | Self::Reach { .. }
            | Self::Silent { .. }
            | Self::Broken { .. }
            | Self::NotFound { .. }
            | Self::Status { .. }
            | Self::Challenge { .. }
            | Self::OpenRealm { .. }
            | Self::NoToken { .. }
            | Self::TooLarge { .. }
            | Self::WrongDigest { .. }
            | Self::Truncated { .. }
            | Self::TooLong { .. }
            | Self::Document { .. } => None,
        }
    }
}

fn is_of_tls(error: &reqwest::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        // Neither library lets its error out as a type.
        let text = error.to_string();
        if text.contains("certificate")
            || text.contains("corrupt message")
            || text.contains("InvalidContentType")
        {
            return true;
        }
        cause = error.source();
    }
    false
}
