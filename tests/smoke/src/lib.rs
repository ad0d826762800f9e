//! Real guests: the built programs, driven as a user drives them, never a service's insides. [`Home`] is a place of
//! its own for one scenario, so that it can run on a developer's machine and leave their VMs alone; [`harness`] runs
//! scenarios.

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
