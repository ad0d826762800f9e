//! Figures with their rates: what two looks at the same VM say together.

use banger_api::{GuestStats, InterfaceStats, VmStats};
use serde::Serialize;

/// What is known of a VM.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Figures {
    #[serde(flatten)]
    pub(crate) stats: VmStats,
    #[serde(flatten)]
    pub(crate) rates: Rates,
}

/// What changed from one look to the next. Absent: there was no earlier look, or it was at another boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Rates {
    /// Processor time of the machine on the host; 100 is one processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu_percent: Option<f64>,
    /// Processor time in the guest, as the guest counts it; 100 is one of its processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) guest_cpu_percent: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) received_bytes_per_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sent_bytes_per_second: Option<f64>,
}

impl Figures {
    /// Joins what is seen now with what was seen before.
    pub(crate) fn new(before: Option<&VmStats>, stats: VmStats) -> Self {
        let rates = before.map_or_else(Rates::default, |before| rates(before, &stats));
        Self { stats, rates }
    }
}

fn rates(before: &VmStats, now: &VmStats) -> Rates {
    let host_secs = rate(before.host.at_ms, now.host.at_ms, 1000.0);
    let machine = before.host.machine.zip(now.host.machine);
    let cpu_secs = machine.and_then(|(before, now)| rate(before.cpu_ms, now.cpu_ms, 1000.0));
    let mut rates = Rates { cpu_percent: per(cpu_secs, host_secs).map(percent), ..Rates::default() };
    if let (Some(before), Some(now)) = (&before.guest, &now.guest) {
        let guest_secs = Some(now.uptime_seconds - before.uptime_seconds);
        let busy_secs = rate(before.cpu_busy_ms, now.cpu_busy_ms, 1000.0);
        rates.guest_cpu_percent = per(busy_secs, guest_secs).map(percent);
        let moved = |bytes: fn(&InterfaceStats) -> u64| {
            per(rate(sum(before, bytes), sum(now, bytes), 1.0), guest_secs)
        };
        rates.received_bytes_per_second = moved(|interface| interface.received_bytes);
        rates.sent_bytes_per_second = moved(|interface| interface.sent_bytes);
    }
    rates
}

/// Returns how far a counter went, in another unit; `None` when it went back: then it began anew.
#[expect(clippy::cast_precision_loss, reason = "a difference of one second, shown with few digits")]
fn rate(before: u64, now: u64, divisor: f64) -> Option<f64> {
    now.checked_sub(before).map(|difference| difference as f64 / divisor)
}

fn per(amount: Option<f64>, seconds: Option<f64>) -> Option<f64> {
    let (amount, seconds) = amount.zip(seconds)?;
    // A guest's clock may say anything; what comes out must be a number.
    (seconds > 0.0).then(|| amount / seconds).filter(|rate| rate.is_finite())
}

/// Returns a share as a percentage with one digit.
fn percent(share: f64) -> f64 {
    (share * 1000.0).round() / 10.0
}

pub(super) fn sum(guest: &GuestStats, bytes: fn(&InterfaceStats) -> u64) -> u64 {
    guest.interfaces.iter().fold(0, |sum: u64, interface| sum.saturating_add(bytes(interface)))
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// A VM at a moment, in seconds since its boot, that used half of one processor and moved 1000 bytes in a second.
    pub(crate) fn stats(name: &str, seconds: u64) -> VmStats {
        serde_json::from_value(json!({
            "id": "0123456789abcdef", "name": name, "state": "running",
            "host": {
                "at_ms": 5000 + seconds * 1000,
                "machine": { "cpu_ms": seconds * 500, "resident_bytes": 412 << 20 },
                "disks": [
                    { "role": "overlay", "allocated_bytes": 10 << 20, "size_bytes": 8_u64 << 30 },
                    { "role": "work", "allocated_bytes": 4 << 20, "size_bytes": 8_u64 << 30 }
                ]
            },
            "guest": {
                "uptime_seconds": seconds, "cpus": 2, "cpu_busy_ms": seconds * 250, "cpu_idle_ms": seconds * 1750,
                "cpu_steal_ms": 0, "memory_total_bytes": 3_u64 << 30, "memory_available_bytes": (3_u64 << 30) - (96 << 20),
                "swap_total_bytes": 0, "swap_free_bytes": 0, "load": [0.12, 0.2, 0.3], "tasks": 61,
                "file_systems": [
                    { "mount_point": "/", "total_bytes": 8_u64 << 30, "used_bytes": 112 << 10, "available_bytes": 1 },
                    { "mount_point": "/root", "total_bytes": 8_u64 << 30, "used_bytes": 28 << 10, "available_bytes": 1 }
                ],
                "interfaces": [
                    { "name": "eth0", "received_bytes": seconds * 1000, "sent_bytes": seconds * 10 },
                    { "name": "docker0", "received_bytes": 0, "sent_bytes": seconds * 10 }
                ]
            }
        }))
        .unwrap()
    }

    #[test]
    fn two_looks_make_rates() {
        let figures = Figures::new(Some(&stats("dev", 100)), stats("dev", 102));
        let expected = Rates {
            cpu_percent: Some(50.0),
            guest_cpu_percent: Some(25.0),
            received_bytes_per_second: Some(1000.0),
            sent_bytes_per_second: Some(20.0),
        };
        assert_eq!(figures.rates, expected);
    }

    #[test]
    fn a_clock_that_lies_makes_no_rate_that_is_not_a_number() {
        for (before, now) in [(0.0, f64::MIN_POSITIVE), (1e12, 1e12), (5.0, 1.0), (0.0, f64::MAX)] {
            let (mut first, mut second) = (stats("dev", 100), stats("dev", 102));
            first.guest.as_mut().unwrap().uptime_seconds = before;
            let guest = second.guest.as_mut().unwrap();
            (guest.uptime_seconds, guest.cpu_busy_ms) = (now, u64::MAX);
            let rates = Figures::new(Some(&first), second).rates;
            let all = [rates.guest_cpu_percent, rates.received_bytes_per_second, rates.sent_bytes_per_second];
            assert!(all.iter().flatten().all(|rate| rate.is_finite()), "{before} {now}: {rates:?}");
        }
    }

    #[test]
    fn what_began_anew_has_no_rate() {
        assert_eq!(Figures::new(None, stats("dev", 1)).rates, Rates::default());
        let mut restarted = stats("dev", 1);
        restarted.host.at_ms = 200_000;
        assert_eq!(Figures::new(Some(&stats("dev", 100)), restarted).rates, Rates::default());
        let mut silent = stats("dev", 101);
        silent.guest = None;
        let rates = Figures::new(Some(&stats("dev", 100)), silent).rates;
        assert_eq!((rates.cpu_percent, rates.guest_cpu_percent), (Some(50.0), None));
    }
}
