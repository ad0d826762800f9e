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
use std::sync::Arc;

use banger_conformance::elsewhere;
use banger_vmm::NetworkLauncher;
use banger_vmm::user_network::UserNetwork;

fn main() -> ExitCode {
    // Like the daemon, this program becomes what runs beside its machines.
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let role = banger_vmm::role::play(words.clone())
        .or_else(|| firecracker::stand_in_jailer::play(&words))
        .or_else(|| {
            elsewhere::play(&words, |suite| qemu::of_suite(suite).or_else(|| firecracker::of_suite(suite)))
        });
    if let Some(code) = role {
        return code;
    }
    let arguments = libtest_mimic::Arguments::from_args();
    let trials = [fake::trials(), qemu::trials(), firecracker::trials()];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit_code()
}

/// The network of machines, which this program becomes.
fn network() -> Arc<dyn NetworkLauncher> {
    Arc::new(UserNetwork::new(std::env::current_exe().expect("this program has a file")))
}
