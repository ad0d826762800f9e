//! The VMM contract as tests. [`suite`] takes a driver and a guest: every driver must pass all of it with every guest that
//! supports what a test needs.

#![allow(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod channel;
pub mod elsewhere;
mod guest;
mod helper;
mod machine;
mod orders;
mod rig;
mod suite;
mod tiny_guest;
mod trials;

pub use guest::{CHANNEL_DEADLINE, Does, Guest};
pub use helper::{helper, network, play};
pub use rig::{LINE, Rig, is_alive, until, until_console_says};
pub use suite::{Driver, suite};
pub use tiny_guest::{Entry, TinyGuest, write as write_tiny_guest};
pub use trials::{skipped, trial};
