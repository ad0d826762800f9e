//! What a registry means by an answer that is not a success. Pure rules.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::HeaderValue;
use serde::Deserialize;

use super::registry_error::RegistryError;
use super::text::plain;

const REASON_CHARACTERS_MAX: usize = 200;

/// An answer that is not a success.
#[derive(Debug)]
pub(crate) struct Refusal<'a> {
    pub(crate) registry: &'a str,
    pub(crate) repository: &'a str,
    /// What was asked for, below the repository: `manifests/v1`.
    pub(crate) path: &'a str,
    pub(crate) status: StatusCode,
    pub(crate) retry_after: Option<Duration>,
    /// The registry's own words, in one line; may be empty.
    pub(crate) detail: String,
}

impl Refusal<'_> {
    /// Makes an error of it.
    pub(crate) fn into_error(self) -> RegistryError {
        let Self { path, status, retry_after, detail, .. } = self;
        let (registry, repository) = (self.registry.to_owned(), self.repository.to_owned());
        match status {
            StatusCode::UNAUTHORIZED => RegistryError::Unauthorized { registry, repository, detail },
            StatusCode::FORBIDDEN => RegistryError::Denied { registry, repository, detail },
            StatusCode::NOT_FOUND => {
                let what = match path.strip_prefix("manifests/") {
                    Some(target) if target.contains(':') => format!("{repository}@{target}"),
                    Some(target) => format!("{repository}:{target}"),
                    None => format!("{repository}/{path}"),
                };
                RegistryError::NotFound { registry, what }
            }
            StatusCode::TOO_MANY_REQUESTS => RegistryError::TooManyRequests { registry, detail, retry_after },
            status => RegistryError::Status { registry, status: status.as_u16(), detail, retry_after },
        }
    }
}

/// Returns how long to wait before the next question: seconds, or a date of one of the three forms (RFC 9110, sections
/// 10.2.3 and 5.6.7).
pub(crate) fn retry_after(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let old = |form: &str| jiff::civil::DateTime::strptime(form, text).ok()?.in_tz("UTC").ok();
    let then = jiff::fmt::rfc2822::parse(text)
        .ok()
        .or_else(|| old("%A, %d-%b-%y %H:%M:%S GMT"))
        .or_else(|| old("%a %b %e %H:%M:%S %Y"))?
        .timestamp();
    Some(then.duration_since(jiff::Timestamp::now()).try_into().unwrap_or_default())
}

/// Returns what a registry says about an error (distribution spec, "Error Codes"), as one line.
pub(crate) fn reason(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<One>,
    }
    #[derive(Deserialize)]
    struct One {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let errors = serde_json::from_slice::<Errors>(body).map(|body| body.errors).unwrap_or_default();
    let first = errors.into_iter().next();
    let text = first.map(|one| if one.message.is_empty() { one.code } else { one.message });
    plain(&text.unwrap_or_default(), REASON_CHARACTERS_MAX)
}
