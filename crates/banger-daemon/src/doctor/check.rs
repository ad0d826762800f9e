//! The parts of a check.

use banger_model::Hint;

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should be.
    Pass,
    /// It works, but not as well as it could.
    Warn,
    /// Something will not work.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// How it went.
    pub outcome: Outcome,
    /// What was found.
    pub detail: String,
    /// What to do about it.
    pub fix: Option<Hint>,
}

/// Makes a check that has no fix.
pub(super) fn check(name: &str, outcome: Outcome, detail: impl Into<String>) -> Check {
    Check { name: name.to_owned(), outcome, detail: detail.into(), fix: None }
}

/// Returns whether the daemon is root.
pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
