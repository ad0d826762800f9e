//! What of the user's wishes this host can give now.

use std::fs;

use banger_model::MemoryMib;
use rustix::io_uring::io_uring_params;
use tracing::warn;

use super::api::{HugePages, IoEngine};
use super::config::{HostParts, Tuning};

const HUGE_PAGE_KIB: u64 = 2048;
const HUGE_PAGES: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB";

/// Looks at the host.
pub(super) fn look(tuning: Tuning, memory: MemoryMib) -> HostParts {
    HostParts { io_engine: io_engine(tuning), huge_pages: huge_pages(tuning, memory) }
}

fn io_engine(tuning: Tuning) -> IoEngine {
    match (tuning.io_uring, tuning.io_uring && has_io_uring()) {
        (true, true) => IoEngine::Async,
        (true, false) => {
            warn!("this host lets nobody use io_uring: drives are read and written without it");
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
        warn!(wanted, free, "too few huge pages are set aside: the guest gets ordinary ones");
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
        let parts = look(Tuning::default(), "512M".parse().unwrap());
        assert_eq!(parts, HostParts::default());
    }

    #[test]
    fn a_guest_that_huge_pages_do_not_suffice_for_gets_ordinary_ones() {
        let tuning = Tuning { huge_pages: true, ..Tuning::default() };
        let more_than_free = format!("{}M", (free_huge_pages() + 64) * 2);
        assert_eq!(huge_pages(tuning, more_than_free.parse().unwrap()), None);
    }
}
