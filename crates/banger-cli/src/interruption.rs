//! What a user is told whose signal interrupted work: what became of it.

use banger_client::Undone;

use crate::error::{CliError, Kind};
use crate::signals::Stop;

/// Returns the error of work that a signal interrupted; `target` is what it was about, where that is known.
pub(crate) fn interrupted(stop: Stop, target: Option<&str>, undone: Undone) -> CliError {
    CliError::new(Kind::Interrupted(stop.exit_status()), sentence(target, undone))
}

fn sentence(target: Option<&str>, undone: Undone) -> String {
    let what = target.map_or_else(|| "the work".to_owned(), |target| format!("`{target}`"));
    match undone {
        Undone::Yes => "cancelled; nothing is left behind".to_owned(),
        Undone::NotYet => format!("stopped waiting before {what} was undone; the daemon continues"),
        Undone::GoesOn => format!("stopped waiting; the daemon continues with {what}"),
    }
}
