//! The program itself, against a daemon and an agent of the test's own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests and their parts"
)]

mod agent;
mod command_line;
mod cp;
mod daemon;
mod daemon_dies;
mod figures;
mod foreign;
mod images;
mod interactive;
mod kernels;
mod lifecycle;
mod lost_daemon;
mod program;
mod run;
mod session;
mod setup;
mod start;
