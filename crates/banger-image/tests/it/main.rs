//! Pulls with programs of others on the other side: a real registry, and images that other tools have made.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what is around a test fails the test"
)]

mod layout;
mod pulls;
mod registry;
