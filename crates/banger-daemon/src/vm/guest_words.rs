//! What a guest says of itself, as far as it can be true: lists and names have an end, numbers are numbers. A guest is a
//! stranger, and what it says stands in one answer with what others say.

use std::net::IpAddr;

use banger_agent_proto::listener::Protocol;
use banger_agent_proto::{Listener, ListenerProcess, StatsReply};

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

/// Something that listens inside a guest.
#[derive(Clone, Debug)]
pub struct GuestListener {
    /// Protocol.
    pub protocol: ListenerProtocol,
    /// Address; `0.0.0.0` and `::` stand for all of the guest's own.
    pub address: IpAddr,
    /// Port.
    pub port: u16,
    /// Who holds the socket, lowest number first.
    pub processes: Vec<ListenerProcess>,
}

/// Protocol of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerProtocol {
    /// TCP.
    Tcp,
    /// UDP: a socket without a peer of its own.
    Udp,
}

/// Reads what a guest says of its listeners; what makes no sense is left out.
pub(super) fn listeners(told: Vec<Listener>) -> Vec<GuestListener> {
    told.into_iter().filter_map(listener).take(LISTENERS_MAX).collect()
}

fn listener(told: Listener) -> Option<GuestListener> {
    let protocol = match told.protocol() {
        Protocol::Tcp => ListenerProtocol::Tcp,
        Protocol::Udp => ListenerProtocol::Udp,
        Protocol::Unspecified => return None,
    };
    let processes = told.processes.into_iter().take(PROCESSES_MAX);
    Some(GuestListener {
        protocol,
        address: told.address.parse().ok()?,
        port: told.port.try_into().ok()?,
        processes: processes
            .map(|process| ListenerProcess { pid: process.pid, name: name(process.name) })
            .collect(),
    })
}

/// Puts a guest's figures within bounds; a number that is none is 0.
pub(super) fn stats(mut told: StatsReply) -> StatsReply {
    told.uptime_seconds = number(told.uptime_seconds);
    told.file_systems.truncate(FILE_SYSTEMS_MAX);
    for found in &mut told.file_systems {
        found.mount_point = name(std::mem::take(&mut found.mount_point));
    }
    told.interfaces.truncate(INTERFACES_MAX);
    for found in &mut told.interfaces {
        found.name = name(std::mem::take(&mut found.name));
    }
    told.load.truncate(LOADS_MAX);
    told.load.iter_mut().for_each(|load| *load = number(*load));
    told
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
    use banger_agent_proto::{CpuFigures, FileSystemFigures, InterfaceFigures, MemoryFigures};

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
            let read = stats(told);
            let length = format!("{read:?}").len();
            assert!(length < 64 * 1024, "{length} bytes");
            assert!(read.load.iter().all(|load| load.is_finite()), "{lie}");
            assert!(read.uptime_seconds.is_finite() && read.uptime_seconds.is_sign_positive(), "{lie}");
            assert_eq!((read.load.len(), read.file_systems.len(), read.interfaces.len()), (3, 16, 128));
            assert_eq!(read.file_systems[0].mount_point.chars().count(), 256);
        }
    }

    #[test]
    fn listeners_have_an_end_and_what_makes_no_sense_is_left_out() {
        let process = ListenerProcess { pid: 1, name: "n".repeat(1000) };
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
        assert!(listeners(bad.into()).is_empty());
    }
}
