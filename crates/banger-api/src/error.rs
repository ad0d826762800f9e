//! Errors as they travel.

use banger_model::Hint;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What kind of error it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
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

impl ErrorCode {
    /// The HTTP status that carries this code.
    #[must_use]
    pub fn http_status(self) -> u16 {
        match self {
            Self::BadVersion => 426,
            Self::UnknownPath | Self::NotFound => 404,
            Self::UnknownMethod => 405,
            Self::BadRequest => 400,
            Self::RequestTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::AlreadyExists | Self::Conflict | Self::NotRunning | Self::Cancelled => 409,
            Self::Unauthorized => 403,
            Self::OperationFailed => 500,
        }
    }
}

/// An error: one sentence, what to do next, and the operation to look for in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// Kind.
    pub code: ErrorCode,
    /// What failed, on what, and why.
    pub message: String,
    /// What to do next; each client words it for its own users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<Hint>,
    /// The operation in whose course it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op_id: Option<String>,
    /// Last lines of the guest's console, where they tell more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub console: Vec<String>,
}

/// As much of a quoted text as a message shows: more than names have, and enough for most paths.
const QUOTED_CHARACTERS_MAX: usize = 300;

impl ErrorBody {
    /// An error without more to it.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: bounded(&message.into()), hint: None, op_id: None, console: Vec::new() }
    }

    /// An error of the daemon itself.
    #[must_use]
    pub fn internal(error: &dyn std::error::Error) -> Self {
        Self::new(
            ErrorCode::OperationFailed,
            format!("the daemon made an answer that it cannot write: {error}"),
        )
    }

    /// Adds what to do next.
    #[must_use]
    pub fn with_hint(self, hint: Hint) -> Self {
        Self { hint: Some(hint), ..self }
    }
}

/// Cuts what a message quotes in backticks: a request may have sent it, however long it is.
fn bounded(message: &str) -> String {
    let cut = |part: &str| match part.char_indices().nth(QUOTED_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", part.get(..end).unwrap_or_default()),
        None => part.to_owned(),
    };
    let parts = message.split('`').enumerate();
    let parts = parts.map(|(index, part)| if index % 2 == 1 { cut(part) } else { part.to_owned() });
    parts.collect::<Vec<_>>().join("`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_message_quotes_is_cut_by_characters() {
        let told =
            |name: &str| ErrorBody::new(ErrorCode::NotFound, format!("there is no VM `{name}`")).message;
        assert_eq!(told("dev"), "there is no VM `dev`");
        let path = format!("/{}", "d".repeat(255));
        assert_eq!(told(&path), format!("there is no VM `{path}`"));
        assert_eq!(told(&"ü".repeat(5000)), format!("there is no VM `{}…`", "ü".repeat(300)));
    }

    #[test]
    fn an_error_of_a_newer_daemon_is_read() {
        let error: ErrorBody =
            serde_json::from_str(r#"{"code": "on_fire", "message": "hot", "by": 1}"#).unwrap();
        assert_eq!(error, ErrorBody::new(ErrorCode::OperationFailed, "hot"));
        assert_eq!(serde_json::to_string(&error.code).unwrap(), "\"operation_failed\"");
    }
}
