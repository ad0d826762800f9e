//! The network process between a real guest and a real world: network namespaces of the tests' own, joined by a tap and a cable.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod closed;
mod datagrams;
mod floods;
mod forwards;
mod frame;
mod lab;
mod line;
mod names;
mod namespace;
mod streams;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    // Like the daemon, this program becomes the network of its machines.
    if let Some(code) = banger_net::role::play(std::env::args_os().skip(1)) {
        return code;
    }
    let arguments = Arguments::from_args();
    let why_not = namespace::become_root_of_networks().err();
    let tests =
        [streams::TESTS, datagrams::TESTS, closed::TESTS, names::TESTS, floods::TESTS, forwards::TESTS];
    let trials = tests.concat();
    let trials = trials.into_iter().map(|(name, test)| {
        let trial = Trial::test(name, move || {
            test();
            Ok(())
        });
        trial.with_ignored_flag(why_not.is_some())
    });
    if let Some(error) = why_not.as_ref() {
        eprintln!("skipped: this user cannot make network namespaces: {error}");
    }
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// A test by its name.
type Test = (&'static str, fn());
