//! The parts of a check.

use banger_api::{CheckOutcome, CheckView};

/// Makes a check that has no fix.
pub(super) fn check(name: &str, outcome: CheckOutcome, detail: impl Into<String>) -> CheckView {
    CheckView { name: name.to_owned(), outcome, detail: detail.into(), fix: None }
}

/// Returns whether the daemon is root.
pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
