//! Requests that may be repeated: a caller that did not see the answer asks again with the same key.

/// What tells that a request is a repetition: the caller's key, and a digest of what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestKey {
    /// The caller's key.
    pub key: String,
    /// Digest of the request.
    pub sha256: String,
}

/// A key came again with another request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the idempotency key `{key}` was used for another request")]
pub struct KeyReused {
    /// The key.
    pub key: String,
}
