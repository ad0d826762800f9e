//! Figures as a table.

use banger_api::{GuestStats, VmStats};

use super::figures::{Figures, sum};
use crate::render;

const HEAD: [&str; 11] =
    ["NAME", "STATE", "CPU", "MEM", "DISK", "GUEST MEM", "/", "/root", "NET", "LOAD", "UP"];

/// Returns the table; what is not known is an empty cell.
pub(super) fn table(all: &[&Figures]) -> String {
    render::table(&HEAD, &all.iter().map(|figures| row(figures)).collect::<Vec<_>>())
}

fn row(figures: &Figures) -> Vec<String> {
    let Figures { stats, rates } = figures;
    let guest = stats.guest.as_ref();
    let machine = stats.host.machine;
    let disk = stats.host.disks.iter().fold(0, |sum: u64, disk| sum.saturating_add(disk.allocated_bytes));
    let cells = [
        Some(stats.name.to_string()),
        Some(state(stats)),
        rates.cpu_percent.map(|percent| format!("{percent:.1}%")),
        machine.map(|machine| short(machine.resident_bytes)),
        Some(short(disk)),
        guest.map(memory),
        guest.and_then(|guest| file_system(guest, "/")),
        guest.and_then(|guest| file_system(guest, "/root")),
        guest.map(network),
        guest.and_then(|guest| guest.load.first().map(|load| format!("{load:.2}"))),
        guest.map(|guest| age(guest.uptime_seconds)),
    ];
    cells.into_iter().map(Option::unwrap_or_default).collect()
}

fn state(stats: &VmStats) -> String {
    match (&stats.guest_error, stats.paused) {
        (_, Some(reason)) => format!("paused: {reason}"),
        (Some(_), None) => "unresponsive".to_owned(),
        (None, None) => stats.state.to_string(),
    }
}

fn memory(guest: &GuestStats) -> String {
    let used = guest.memory_total_bytes.saturating_sub(guest.memory_available_bytes);
    format!("{}/{}", short(used), short(guest.memory_total_bytes))
}

fn file_system(guest: &GuestStats, mount_point: &str) -> Option<String> {
    let found = guest.file_systems.iter().find(|found| found.mount_point == mount_point)?;
    Some(format!("{}/{}", short(found.used_bytes), short(found.total_bytes)))
}

fn network(guest: &GuestStats) -> String {
    format!("{}/{}", short(sum(guest, |i| i.received_bytes)), short(sum(guest, |i| i.sent_bytes)))
}

/// Returns a number of bytes in few characters, as in `1.4G` or `96M`.
fn short(bytes: u64) -> String {
    let units = ["K", "M", "G", "T", "P"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = bytes as f64 / 1024.0;
    let mut unit = "K";
    for larger in units.into_iter().skip(1) {
        if value < 999.5 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    if value < 9.95 { format!("{value:.1}{unit}") } else { format!("{value:.0}{unit}") }
}

/// Returns a time in few characters, as in `45s` or `3h`.
fn age(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast of a float saturates"
    )]
    let seconds = seconds as u64;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::super::figures::tests::stats;
    use super::*;

    #[test]
    fn figures_are_a_table_and_what_is_not_known_is_marked() {
        let running = Figures::new(Some(&stats("dev", 299)), stats("dev", 300));
        let mut silent = stats("build", 300);
        silent.guest = None;
        silent.guest_error = Some("the guest did not answer".into());
        let silent = Figures::new(Some(&stats("build", 299)), silent);
        let mut stopped = stats("old", 0);
        (stopped.state, stopped.guest, stopped.host.machine) = (banger_model::VmState::Stopped, None, None);
        let stopped = Figures::new(None, stopped);
        insta::assert_snapshot!(table(&[&running, &silent, &stopped]), @r"
        NAME   STATE         CPU    MEM   DISK  GUEST MEM  /          /root     NET        LOAD  UP
        dev    running       50.0%  412M  14M   96M/3.0G   112K/8.0G  28K/8.0G  293K/5.9K  0.12  5m
        build  unresponsive  50.0%  412M  14M   -          -          -         -          -     -
        old    stopped       -      -     14M   -          -          -         -          -     -
        ");
    }

    #[test]
    fn amounts_take_few_characters() {
        let told = [0, 1023, 1024, 9 << 10, 999 << 10, 1000 << 10, 96 << 20, 3 << 30, u64::MAX].map(short);
        assert_eq!(told, ["0B", "1023B", "1.0K", "9.0K", "999K", "1.0M", "96M", "3.0G", "16384P"]);
        assert_eq!(
            [0.0, 59.9, 60.0, 7200.0, 200_000.0, -1.0].map(age),
            ["0s", "59s", "1m", "2h", "2d", "0s"]
        );
    }
}
