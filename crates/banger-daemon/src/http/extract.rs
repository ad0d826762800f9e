//! Request bodies and queries, with our own errors: the place where text from outside becomes types.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use banger_api::{ErrorBody, ErrorCode};
use serde::de::DeserializeOwned;

use super::fault::Refusal;

/// How long a client may take to send a body.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// A JSON body, which is an object on every route that has one.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let bytes = tokio::time::timeout(BODY_DEADLINE, Bytes::from_request(request, state))
            .await
            .map_err(|_late| bad_request(&"its body did not arrive in time"))?
            .map_err(|error| bad_request(&error.body_text()))?;
        // A list would be read as the fields of a structure in their order.
        if !bytes.trim_ascii_start().starts_with(b"{") {
            return Err(bad_request(&"its body is not a JSON object; send `{}` to use the defaults"));
        }
        serde_json::from_slice(&bytes).map(Self).map_err(|error| bad_request(&error))
    }
}

/// The one part of the path that varies: a VM or an operation.
pub(super) struct Segment(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let segment = Path::<String>::from_request_parts(parts, state).await;
        segment.map(|Path(segment)| Self(segment)).map_err(|error| bad_request(&error.body_text()))
    }
}

/// A query.
pub(super) struct Parameters<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(query)| Self(query)).map_err(|error| bad_request(&error.body_text()))
    }
}

fn bad_request(error: &dyn std::fmt::Display) -> Refusal {
    Refusal(ErrorBody::new(ErrorCode::BadRequest, format!("invalid request: {error}")))
}
