//! The VMM contract, carried out against each driver with a guest of a few instructions.

#![allow(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod conformance;
mod fake;
mod qemu;
mod rig;
mod tiny_guest;
