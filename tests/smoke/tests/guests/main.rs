//! Scenarios with real guests. Each says what it proves; each has homes of its own.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a scenario that cannot go on fails right there"
)]

mod commands;
mod concurrency;
mod container_image;
mod disk_full;
mod endings;
mod faults;
mod files;
mod images;
mod inspection;
mod kernels;
mod lifecycle;
mod missing;
mod network;
mod readme;
mod shell;
mod survival;
mod system;
mod user;

use std::process::ExitCode;

use banger_smoke::harness::{Scenario, Suite};

fn main() -> ExitCode {
    let scenarios: Vec<Scenario> = [
        commands::SCENARIOS,
        container_image::SCENARIOS,
        disk_full::SCENARIOS,
        system::SCENARIOS,
        shell::SCENARIOS,
        kernels::SCENARIOS,
        lifecycle::SCENARIOS,
        survival::SCENARIOS,
        endings::SCENARIOS,
        concurrency::SCENARIOS,
        faults::SCENARIOS,
        images::SCENARIOS,
        inspection::SCENARIOS,
        files::SCENARIOS,
        network::SCENARIOS,
        readme::SCENARIOS,
        user::SCENARIOS,
    ]
    .concat();
    Suite { scenarios: &scenarios, missing: missing::MISSING }.main()
}
