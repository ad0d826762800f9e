//! Errors as they travel.

use banger_model::{ErrorCode, Hint};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Returns the HTTP status that carries errors of a kind.
#[must_use]
pub fn http_status(code: ErrorCode) -> u16 {
    match code {
        ErrorCode::BadVersion => 426,
        ErrorCode::UnknownPath | ErrorCode::NotFound => 404,
        ErrorCode::UnknownMethod => 405,
        ErrorCode::BadRequest => 400,
        ErrorCode::RequestTooLarge => 413,
        ErrorCode::UnsupportedMediaType => 415,
        ErrorCode::AlreadyExists | ErrorCode::Conflict | ErrorCode::NotRunning | ErrorCode::Cancelled => 409,
        ErrorCode::Unauthorized => 403,
        ErrorCode::OperationFailed => 500,
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
