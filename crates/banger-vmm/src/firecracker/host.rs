//! What the host has for a machine now.

use std::fs;
use std::path::PathBuf;

use banger_model::MemoryMib;
use rustix::io_uring::io_uring_params;
use tracing::warn;

use super::api::{HugePages, IoEngine};
use super::binds::binds;
use super::config::{HostParts, Tuning};
use super::driver::Firecracker;
use super::jail::{JailWish, jail_wish};
use super::jail_host::{JailFacts, Jailer};
use super::places::Places;
use crate::contract::{MachinePlan, RestorePlan};

const HUGE_PAGE_KIB: u64 = 2048;
const HUGE_PAGES: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB";

/// Devices that Firecracker opens, where they are there.
const DEVICES: [&str; 3] = ["/dev/kvm", "/dev/net/tun", "/dev/userfaultfd"];

/// What a machine's plan is resolved with.
#[derive(Clone, Debug)]
pub(super) struct Host {
    /// What of the user's wishes a boot can have.
    pub(super) parts: HostParts,
    pub(super) devices: Vec<PathBuf>,
    /// The jailer, or why there can be no jail, in words.
    pub(super) jailer: Result<Jailer, String>,
}

impl Host {
    /// Looks at the host.
    pub(super) fn look(driver: &Firecracker, plan: &MachinePlan, from: Option<&RestorePlan>) -> Self {
        let devices = DEVICES.map(PathBuf::from).into_iter().filter(|device| device.exists());
        Self {
            // A snapshot has these parts from its machine.
            parts: from.map_or_else(|| parts(driver.tuning, plan.memory), |_| HostParts::default()),
            devices: devices.collect(),
            jailer: jailer(driver, plan, from),
        }
    }
}

fn jailer(driver: &Firecracker, plan: &MachinePlan, from: Option<&RestorePlan>) -> Result<Jailer, String> {
    let wish = jail_wish(driver.tuning.jailer, from);
    if wish == JailWish::Never {
        return Err("no jail is wanted".to_owned());
    }
    let facts = JailFacts::look(&driver.program);
    let binds = binds(plan, from, &Places::of_plan(plan));
    let jailer = Jailer::look(&facts, &driver.program, &plan.vm, &plan.state_directory, &binds);
    if let Err(why) = &jailer
        && wish == JailWish::Auto
        && facts.is_root
        && facts.jailer.is_some()
    {
        warn!(why, "Firecracker runs without its jailer");
    }
    jailer
}

fn parts(tuning: Tuning, memory: MemoryMib) -> HostParts {
    HostParts { io_engine: io_engine(tuning), huge_pages: huge_pages(tuning, memory) }
}

fn io_engine(tuning: Tuning) -> IoEngine {
    match (tuning.io_uring, tuning.io_uring && has_io_uring()) {
        (true, true) => IoEngine::Async,
        (true, false) => {
            warn!("io_uring is disabled on this host: drives are read and written without it");
            IoEngine::Sync
        }
        (false, _) => IoEngine::Sync,
    }
}

/// Tries: a kernel may lack it, and an administrator may have switched it off (`kernel.io_uring_disabled`).
#[expect(
    unsafe_code,
    reason = "the call is unsafe because of what its descriptor could be used for; it is closed at once"
)]
pub(super) fn has_io_uring() -> bool {
    let mut parameters = io_uring_params::default();
    // SAFETY: the kernel reads and writes the parameters, which outlive the call; the ring is never used.
    unsafe { rustix::io_uring::io_uring_setup(2, &mut parameters) }.is_ok()
}

/// Firecracker takes huge pages that are not there, and the guest then dies of the first that it touches. So there have
/// to be enough beforehand; whoever else takes them at the same moment can still spoil it.
fn huge_pages(tuning: Tuning, memory: MemoryMib) -> Option<HugePages> {
    if !tuning.huge_pages {
        return None;
    }
    let (wanted, free) = ((memory.get() * 1024).div_ceil(HUGE_PAGE_KIB), free_huge_pages());
    if wanted > free {
        warn!(wanted, free, "too few huge pages are free: the guest gets ordinary pages");
        return None;
    }
    Some(HugePages::TwoMib)
}

/// Returns how many 2 MiB pages are neither used nor promised.
pub(super) fn free_huge_pages() -> u64 {
    let number = |name: &str| -> u64 {
        let text = fs::read_to_string(format!("{HUGE_PAGES}/{name}")).unwrap_or_default();
        text.trim().parse().unwrap_or_default()
    };
    number("free_hugepages").saturating_sub(number("resv_hugepages"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_looked_at_that_nobody_asked_for() {
        let parts = parts(Tuning::default(), "512M".parse().unwrap());
        assert_eq!(parts, HostParts::default());
    }

    #[test]
    fn a_guest_that_huge_pages_do_not_suffice_for_gets_ordinary_ones() {
        let tuning = Tuning { huge_pages: true, ..Tuning::default() };
        let more_than_free = format!("{}M", (free_huge_pages() + 64) * 2);
        assert_eq!(huge_pages(tuning, more_than_free.parse().unwrap()), None);
    }
}
