//! What is seen of guests and their machines, as clients see it.

use banger_agent_proto::{ListenerProcess as ToldProcess, StatsReply};
use banger_api::{
    DiskStats, FileSystemStats, GuestStats, HostStats, InterfaceStats, ListenerProcess, ListenerView,
    MachineStats, TransportProtocol, VmStats,
};

use crate::vm::{GuestListener, HostFigures, ListenerProtocol, VmFigures};

/// Returns a listener.
pub(in crate::http) fn listener(found: GuestListener) -> ListenerView {
    let process = |ToldProcess { pid, name }| ListenerProcess { pid, name };
    ListenerView {
        protocol: match found.protocol {
            ListenerProtocol::Tcp => TransportProtocol::Tcp,
            ListenerProtocol::Udp => TransportProtocol::Udp,
        },
        address: found.address,
        port: found.port,
        processes: found.processes.into_iter().map(process).collect(),
    }
}

/// Returns the figures of a VM.
pub(in crate::http) fn vm_stats(figures: VmFigures) -> VmStats {
    let VmFigures { id, name, state, paused, host, guest, guest_error } = figures;
    VmStats { id, name, state, paused, host: host_stats(host), guest: guest.map(guest_stats), guest_error }
}

fn host_stats(figures: HostFigures) -> HostStats {
    let machine = figures
        .machine
        .map(|machine| MachineStats { cpu_ms: machine.cpu_ms, resident_bytes: machine.resident_bytes });
    let disks = figures.disks.into_iter().map(|disk| DiskStats {
        role: disk.role.as_str().to_owned(),
        allocated_bytes: disk.allocated_bytes,
        size_bytes: disk.size_bytes,
    });
    HostStats { at_ms: figures.at_ms, machine, disks: disks.collect() }
}

fn guest_stats(told: StatsReply) -> GuestStats {
    let (cpu, memory) = (told.cpu.unwrap_or_default(), told.memory.unwrap_or_default());
    let file_systems = told.file_systems.into_iter().map(|found| FileSystemStats {
        mount_point: found.mount_point,
        total_bytes: found.total_bytes,
        used_bytes: found.used_bytes,
        available_bytes: found.available_bytes,
    });
    let interfaces = told.interfaces.into_iter().map(|found| InterfaceStats {
        name: found.name,
        received_bytes: found.received_bytes,
        sent_bytes: found.sent_bytes,
    });
    GuestStats {
        uptime_seconds: told.uptime_seconds,
        cpus: cpu.count,
        cpu_busy_ms: cpu.busy_millis,
        cpu_idle_ms: cpu.idle_millis,
        cpu_steal_ms: cpu.steal_millis,
        memory_total_bytes: memory.total_bytes,
        memory_available_bytes: memory.available_bytes,
        swap_total_bytes: memory.swap_total_bytes,
        swap_free_bytes: memory.swap_free_bytes,
        file_systems: file_systems.collect(),
        interfaces: interfaces.collect(),
        load: told.load,
        tasks: told.tasks,
    }
}
