//! Request bodies and queries, with our own errors: the place where text from outside becomes types.

use std::time::Duration;

use axum::body::{Bytes, HttpBody as _};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use banger_api::{ErrorBody, ErrorCode};
use serde::de::DeserializeOwned;

use super::refusal::Refusal;

/// How long a client may take to send a body.
const BODY_DEADLINE: Duration = Duration::from_secs(10);
/// Longest request body.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;

/// A JSON body, which is an object on every route that has one.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Refusal> {
        refuse_other_media(request.headers())?;
        let bytes = read_bytes(request).await?;
        // A list would be read as the fields of a structure in their order.
        if !bytes.trim_ascii_start().starts_with(b"{") {
            return Err(bad_request(&"its body is not a JSON object; send `{}` to use the defaults"));
        }
        parse(&bytes).map(Self).map_err(|message| bad_request(&message))
    }
}

/// Refuses a body that says that it is not JSON; one that says nothing is taken as JSON.
fn refuse_other_media(headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(media) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let media = String::from_utf8_lossy(media.as_bytes());
    let kind = media.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let message = format!("the body must be `application/json`, not `{kind}`");
    Err(Refusal(ErrorBody::new(ErrorCode::UnsupportedMediaType, message)))
}

/// Reads the whole body.
pub(super) async fn read_bytes(request: Request) -> Result<Bytes, Refusal> {
    let too_large = || {
        let message = format!("the body must not be longer than {} KiB", BODY_BYTES_MAX / 1024);
        Refusal(ErrorBody::new(ErrorCode::RequestTooLarge, message))
    };
    // A client that asks first whether it may send its body is told before it has sent it.
    if usize::try_from(request.body().size_hint().lower()).is_ok_and(|least| least > BODY_BYTES_MAX) {
        return Err(too_large());
    }
    let read = tokio::time::timeout(BODY_DEADLINE, Bytes::from_request(request, &())).await;
    match read.map_err(|_late| bad_request(&"its body did not arrive in time"))? {
        Ok(bytes) => Ok(bytes),
        Err(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => Err(too_large()),
        Err(_) => Err(bad_request(&"its body broke off or is not valid HTTP")),
    }
}

/// Reads a request; the error names the field, or the place where it is not JSON.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        let text = error.to_string();
        if !error.is_data() {
            return text;
        }
        let place = format!(" at line {} column {}", error.line(), error.column());
        let text = text.strip_suffix(&place).unwrap_or(&text);
        // Errors about a field that is not known, missing or doubled name it.
        if path == "." || text.contains(" field `") { text.to_owned() } else { format!("`{path}`: {text}") }
    })?;
    reader.end().map_err(|error| error.to_string())?;
    Ok(value)
}

/// The one part of the path that varies: what names a VM, an image, a kernel or an operation.
pub(super) struct Segment<T = String>(pub(super) T);

impl<S: Send + Sync, T: From<String>> FromRequestParts<S> for Segment<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let segment = Path::<String>::from_request_parts(parts, state).await;
        segment.map(|Path(segment)| Self(segment.into())).map_err(|error| bad_request(&error.body_text()))
    }
}

/// A query, which [`super::request_rules`] has looked at.
pub(super) struct Parameters<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(query)| Self(query)).map_err(|error| bad_request(&error.body_text()))
    }
}

pub(super) fn bad_request(error: &dyn std::fmt::Display) -> Refusal {
    Refusal(ErrorBody::new(ErrorCode::BadRequest, format!("invalid request: {error}")))
}
