//! Trees on this machine's file system: copied completely, and never anywhere else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "helpers of tests fail by panicking, as tests do"
)]

mod asked;
mod copies;
mod destinations;
mod hostile;
mod place;
mod random_trees;
