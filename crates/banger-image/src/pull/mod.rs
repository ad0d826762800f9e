//! Makes one kernel or image be there, once, however many callers ask; and removes it.

mod error;
mod hint;
mod pulls;
mod removal;

pub use error::PullError;
pub(crate) use pulls::{Build, Pulls, Successor};
pub use pulls::{Replace, Users};
pub use removal::Removal;
