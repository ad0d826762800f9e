//! The daemon as its clients see it: the real store in a temporary directory, HTTP over a Unix socket, and machines
//! whose guest is the real agent on this host.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "helpers of tests fail by panicking, as tests do"
)]

mod api;
mod bad_input;
mod bound;
mod cancel;
mod change;
mod crash;
mod create;
mod endings;
mod events;
mod failures;
mod fake_source;
mod fake_vmms;
mod faults;
mod figures;
mod full_disk;
mod gate;
mod health;
mod images;
mod interrupts;
mod kernels;
mod lifecycle;
mod logs;
mod machines;
mod network;
mod operations;
mod program;
mod races;
mod ready_ports;
mod reconcile;
mod repetition;
mod sandbox;
mod schema;
mod truth;
mod warnings;
