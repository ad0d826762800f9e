//! From our errors to what a client is told: code, the whole chain of causes in one line, and the next command to type. What
//! an error is stands beside the error; here is what all have in common, and what is known of errors of other crates.

mod cause;
mod pull;

use std::error::Error;

use banger_model::{ErrorCode, Hint};

pub use cause::chain;

/// What a client is told of an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its kind.
    pub code: ErrorCode,
    /// What failed, on what, and why, in one line.
    pub message: String,
    /// What to do next.
    pub hint: Option<Hint>,
    /// The operation in whose course it happened.
    pub op_id: Option<String>,
    /// Last lines of the guest's console, where they tell more.
    pub console: Vec<String>,
}

impl Failure {
    /// A failure without more to it.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, op_id: None, console: Vec::new() }
    }
}

/// An error of which clients are told.
pub trait Fault: Error + Sized + 'static {
    /// Its kind.
    fn code(&self) -> ErrorCode;

    /// The next command to type.
    fn hint(&self) -> Option<Hint>;

    /// What failed, on what, and why, in one line.
    fn message(&self) -> String {
        chain(self)
    }

    /// Last lines of the guest's console, where they tell more.
    fn console(&self) -> Vec<String> {
        Vec::new()
    }

    /// Returns what a client is told of it.
    fn to_failure(&self) -> Failure {
        Failure {
            code: self.code(),
            message: self.message(),
            hint: self.hint(),
            op_id: None,
            console: self.console(),
        }
    }
}
