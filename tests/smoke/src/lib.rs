//! Tests with real guests: the built programs are driven as a user drives them, never through a service's internals.
//! [`Home`] is a home for one scenario, so that it can run on a developer's machine without affecting other VMs; [`harness`]
//! runs scenarios.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a scenario that cannot go on fails right there"
)]

#[cfg(test)]
mod documents;
pub mod harness;
mod home;
pub mod regression;
mod run;
pub mod statistics;
mod terminal;

pub use home::{Home, programs};
pub use run::{Answer, Banger};
pub use terminal::Terminal;
