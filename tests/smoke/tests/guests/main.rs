//! Scenarios with real guests. Each says what it proves; each has a home of its own. What needs hardware
//! virtualisation is reported as ignored where there is none, with the reason in its name.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a scenario that cannot go on fails right there"
)]

mod commands;
mod container_image;
mod faults;
mod files;
mod inspection;
mod kernels;
mod lifecycle;
mod network;
mod shell;
mod survival;
mod system;

use banger_sys::host::{Virtualization, virtualization};
use libtest_mimic::{Arguments, Failed, Trial};

type Scenario = (&'static str, fn());

fn main() {
    let arguments = Arguments::from_args();
    let groups: [&[Scenario]; 10] = [
        commands::SCENARIOS,
        container_image::SCENARIOS,
        system::SCENARIOS,
        shell::SCENARIOS,
        kernels::SCENARIOS,
        lifecycle::SCENARIOS,
        survival::SCENARIOS,
        faults::SCENARIOS,
        inspection::SCENARIOS,
        files::SCENARIOS,
    ];
    let mut trials: Vec<Trial> =
        groups.into_iter().flatten().map(|(name, scenario)| trial((*name).to_owned(), *scenario)).collect();
    trials.push(with_kvm("a_guest_boots_on_the_processor_itself", system::boots_under_kvm));
    trials.push(as_root(network::NAME, network::a_guest_reaches_the_network_but_not_the_host));
    trials.push(as_root(faults::FULL_DISK, faults::a_full_disk_is_told_and_leaves_nothing));
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(name: String, scenario: fn()) -> Trial {
    Trial::test(name, move || {
        scenario();
        Ok::<(), Failed>(())
    })
}

fn as_root(name: &str, scenario: fn()) -> Trial {
    if rustix::process::geteuid().is_root() {
        return trial(name.to_owned(), scenario);
    }
    skipped(name, scenario, "only root can make namespaces with networks and mounts")
}

fn skipped(name: &str, scenario: fn(), why: &str) -> Trial {
    eprintln!("skipped: {name}: {why}");
    trial(format!("{name} (skipped: {why})"), scenario).with_ignored_flag(true)
}

fn with_kvm(name: &str, scenario: fn()) -> Trial {
    let why = match virtualization() {
        Virtualization::Usable => return trial(name.to_owned(), scenario),
        Virtualization::Absent => "there is no /dev/kvm",
        Virtualization::Forbidden => "this user may not open /dev/kvm",
        Virtualization::SoftwareOnly => "/dev/kvm is a software one: the processor has neither vmx nor svm",
    };
    skipped(name, scenario, why)
}
