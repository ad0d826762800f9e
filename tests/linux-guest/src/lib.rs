//! A real Linux guest, with our kernel and image, for the contract's tests, which take the guest as a parameter. Also
//! helpers for the measurement of cold starts: whether there is hardware virtualisation, the memory of a VMM besides its
//! guest's, and percentiles of times.

mod guest;
mod memory;

use std::time::Duration;

use banger_sys::host::{self, Virtualization};

pub use guest::LinuxGuest;
pub use memory::{MachineMemory, beside_guest};

/// Returns the reason why guests do not run directly on the processor here; `None` if they do.
#[must_use]
pub fn why_no_hardware() -> Option<&'static str> {
    match host::virtualization() {
        Virtualization::Usable => None,
        Virtualization::Absent => Some("there is no /dev/kvm"),
        Virtualization::Forbidden => Some("this user may not open /dev/kvm"),
        Virtualization::SoftwareOnly => {
            Some("/dev/kvm is a software KVM: the processor has neither vmx nor svm")
        }
    }
}

/// Returns the time below which `percent` of the times lie; zero if there are none.
#[must_use]
pub fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    let last = times.len().saturating_sub(1);
    times.get(last * percent.min(100) / 100).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_times() {
        let mut times: Vec<_> = (1..=11).rev().map(Duration::from_millis).collect();
        let told = [0, 50, 95, 100].map(|percent| percentile(&mut times, percent).as_millis());
        assert_eq!(told, [1, 6, 10, 11]);
        assert_eq!(percentile(&mut [], 50), Duration::ZERO);
    }
}
