//! The agent as the host sees it, on this machine: real commands, real streams, a root that is a directory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unnecessary_wraps,
    unreachable_pub,
    reason = "helpers of tests fail by panicking, as tests do"
)]

mod channel;
mod control;
mod exec;
mod figures;
mod files;
mod guest;
mod standard_streams;
mod streams;
mod terminal;
