//! What a guest says of itself, as far as it can be true: lists and names have an end, numbers are numbers. A guest is a
//! stranger, and what it says stands in one answer with what others say.

use banger_agent_proto::listener::Protocol;
use banger_agent_proto::{Listener, StatsReply};
use banger_api::{
    FileSystemStats, GuestStats, InterfaceStats, ListenerProcess, ListenerView, TransportProtocol,
};

/// Longest name, in characters.
const NAME_CHARS_MAX: usize = 256;
const LISTENERS_MAX: usize = 2048;
const PROCESSES_MAX: usize = 32;
const FILE_SYSTEMS_MAX: usize = 16;
const INTERFACES_MAX: usize = 128;
/// Over 1, 5 and 15 minutes.
const LOADS_MAX: usize = 3;
/// Longest time and highest load: beyond it two figures that differ by one may be the same number.
const NUMBER_MAX: f64 = 1e12;

/// Reads what a guest says of its listeners; what makes no sense is left out.
pub(super) fn listeners(told: Vec<Listener>) -> Vec<ListenerView> {
    told.into_iter().filter_map(listener).take(LISTENERS_MAX).collect()
}

fn listener(told: Listener) -> Option<ListenerView> {
    let protocol = match told.protocol() {
        Protocol::Tcp => TransportProtocol::Tcp,
        Protocol::Udp => TransportProtocol::Udp,
        Protocol::Unspecified => return None,
    };
    let processes = told.processes.into_iter().take(PROCESSES_MAX);
    Some(ListenerView {
        protocol,
        address: told.address.parse().ok()?,
        port: told.port.try_into().ok()?,
        processes: processes
            .map(|process| ListenerProcess { pid: process.pid, name: name(process.name) })
            .collect(),
    })
}

/// Reads a guest's figures; a number that is none is 0.
pub(super) fn stats(told: StatsReply) -> GuestStats {
    let (cpu, memory) = (told.cpu.unwrap_or_default(), told.memory.unwrap_or_default());
    let file_systems = told.file_systems.into_iter().take(FILE_SYSTEMS_MAX);
    let interfaces = told.interfaces.into_iter().take(INTERFACES_MAX);
    GuestStats {
        uptime_seconds: number(told.uptime_seconds),
        cpus: cpu.count,
        cpu_busy_ms: cpu.busy_millis,
        cpu_idle_ms: cpu.idle_millis,
        cpu_steal_ms: cpu.steal_millis,
        memory_total_bytes: memory.total_bytes,
        memory_available_bytes: memory.available_bytes,
        swap_total_bytes: memory.swap_total_bytes,
        swap_free_bytes: memory.swap_free_bytes,
        file_systems: file_systems
            .map(|found| FileSystemStats {
                mount_point: name(found.mount_point),
                total_bytes: found.total_bytes,
                used_bytes: found.used_bytes,
                available_bytes: found.available_bytes,
            })
            .collect(),
        interfaces: interfaces
            .map(|found| InterfaceStats {
                name: name(found.name),
                received_bytes: found.received_bytes,
                sent_bytes: found.sent_bytes,
            })
            .collect(),
        load: told.load.into_iter().take(LOADS_MAX).map(number).collect(),
        tasks: told.tasks,
    }
}

/// Shortens a name or an identity.
pub(super) fn name(told: String) -> String {
    match told.char_indices().nth(NAME_CHARS_MAX) {
        Some((end, _)) => told.get(..end).unwrap_or_default().to_owned(),
        None => told,
    }
}

fn number(told: f64) -> f64 {
    if told.is_finite() && told > 0.0 { told.min(NUMBER_MAX) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use banger_agent_proto::{
        CpuFigures, FileSystemFigures, InterfaceFigures, ListenerProcess as ToldProcess, MemoryFigures,
    };

    use super::*;

    #[test]
    fn numbers_that_are_none_and_lists_without_an_end_still_make_an_answer_that_can_be_read() {
        for lie in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, -0.0, f64::MAX, f64::MIN_POSITIVE] {
            let told = StatsReply {
                uptime_seconds: lie,
                load: vec![lie; 10_000],
                cpu: Some(CpuFigures {
                    count: u32::MAX,
                    busy_millis: u64::MAX,
                    idle_millis: u64::MAX,
                    steal_millis: u64::MAX,
                }),
                memory: Some(MemoryFigures { total_bytes: u64::MAX, ..MemoryFigures::default() }),
                file_systems: vec![
                    FileSystemFigures {
                        mount_point: "é".repeat(10_000), ..Default::default()
                    };
                    10_000
                ],
                interfaces: vec![InterfaceFigures { name: "x".repeat(1000), ..Default::default() }; 10_000],
                tasks: u32::MAX,
            };
            let text = serde_json::to_string(&stats(told)).unwrap();
            assert!(text.len() < 64 * 1024, "{} bytes", text.len());
            let read: GuestStats = serde_json::from_str(&text).unwrap();
            assert!(read.uptime_seconds.is_finite() && read.uptime_seconds.is_sign_positive(), "{lie}");
            assert_eq!((read.load.len(), read.file_systems.len(), read.interfaces.len()), (3, 16, 128));
            assert_eq!(read.file_systems[0].mount_point.chars().count(), 256);
        }
    }

    #[test]
    fn listeners_have_an_end_and_what_makes_no_sense_is_left_out() {
        let process = ToldProcess { pid: 1, name: "n".repeat(1000) };
        let good = Listener { protocol: 1, address: "::".into(), port: 80, processes: vec![process; 100] };
        let found = listeners(vec![good.clone(); 5000]);
        assert_eq!((found.len(), found[0].processes.len()), (2048, 32));
        assert_eq!(found[0].processes[0].name.len(), 256);
        let bad = [
            Listener { port: 70_000, ..good.clone() },
            Listener { protocol: 0, ..good.clone() },
            Listener { protocol: 99, ..good.clone() },
            Listener { address: "\u{1b}[31m".into(), ..good },
            Listener::default(),
        ];
        assert_eq!(listeners(bad.into()), []);
    }
}
