//! From our errors to those that travel: code, the whole chain of causes in one line, and the next command to type. What an
//! error is stands beside the error; here is what all have in common, and what is known of errors of other crates.

mod cause;
mod pull;

use std::error::Error;

use banger_api::{ErrorBody, ErrorCode};
use banger_model::Hint;

pub use cause::chain;

/// An error that can travel.
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

    /// Returns it as it travels.
    fn to_body(&self) -> ErrorBody {
        ErrorBody {
            code: self.code(),
            message: self.message(),
            hint: self.hint(),
            op_id: None,
            console: self.console(),
        }
    }
}
