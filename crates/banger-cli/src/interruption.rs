//! What a user is told whose signal interrupted work: what became of it.

use banger_api::ErrorBody;
use banger_client::Undone;

use crate::error::{CliError, Kind};
use crate::hint;
use crate::signals::Stop;

/// Returns the error of work that we left before its end; `target` is what it was about, where that is known.
pub(crate) fn left(stop: Stop, target: Option<&str>, undone: Undone) -> CliError {
    let what = target.map_or_else(|| "the work".to_owned(), |target| format!("`{target}`"));
    let sentence = match undone {
        Undone::NotYet => format!("stopped waiting before {what} was undone; the daemon continues"),
        Undone::GoesOn => format!("stopped waiting; the daemon continues with {what}"),
    };
    CliError::new(Kind::Interrupted(stop.exit_status()), sentence)
}

/// Returns the error of an operation that is undone. Only the daemon knows what that means: a new VM is gone, one that
/// was to start is stopped.
pub(crate) fn cancelled(stop: Stop, told: Option<ErrorBody>) -> CliError {
    let hint = told.as_ref().and_then(|body| body.hint.as_ref()).and_then(hint::words);
    let sentence = told.map_or_else(|| "cancelled".to_owned(), |body| body.message);
    CliError::new(Kind::Interrupted(stop.exit_status()), sentence).with_hint(hint)
}

/// Returns the error of work of this process that is undone completely.
pub(crate) fn undone(stop: Stop) -> CliError {
    CliError::new(Kind::Interrupted(stop.exit_status()), "cancelled; nothing is left behind")
}
