//! The VMM contract, carried out against each driver with a guest of a few hundred instructions. Drivers whose program or
//! host part is missing are reported as skipped, with the reason.

#![allow(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod fake;
mod firecracker;
mod qemu;

use std::process::ExitCode;

use banger_conformance::{elsewhere, play};

fn main() -> ExitCode {
    // Like the daemon, this program becomes what runs beside its machines.
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let role = play(&words).or_else(|| firecracker::stand_in_jailer::play(&words)).or_else(|| {
        elsewhere::play(&words, |suite| qemu::of_suite(suite).or_else(|| firecracker::of_suite(suite)))
    });
    if let Some(code) = role {
        return code;
    }
    let arguments = libtest_mimic::Arguments::from_args();
    let trials = [fake::trials(), qemu::trials(), firecracker::trials()];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit_code()
}
