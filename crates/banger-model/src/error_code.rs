//! The kinds of errors.

use serde::{Deserialize, Serialize};

/// What kind of error it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ErrorCode {
    /// Client and daemon speak different versions.
    BadVersion,
    /// There is no route with this path.
    UnknownPath,
    /// The route with this path does not have the request's method.
    UnknownMethod,
    /// The request makes no sense; nothing was made.
    BadRequest,
    /// The request's body is longer than the daemon reads.
    RequestTooLarge,
    /// The request's body is not JSON.
    UnsupportedMediaType,
    /// There is no such thing.
    NotFound,
    /// There is such a thing already.
    AlreadyExists,
    /// The state of what the request names does not allow it; in another state it would.
    Conflict,
    /// It needs a running VM.
    NotRunning,
    /// This user may not.
    Unauthorized,
    /// The caller asked to stop it.
    Cancelled,
    /// The work failed. An error of a newer daemon whose kind is not known here is read as this one.
    #[serde(other)]
    OperationFailed,
}
