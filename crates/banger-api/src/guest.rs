//! What is seen of a guest and its machine: listeners and figures.

use std::net::IpAddr;

use banger_model::{PauseReason, VmId, VmName, VmState};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Protocol of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransportProtocol {
    /// TCP.
    Tcp,
    /// UDP: a socket without a peer of its own.
    Udp,
}

/// Something that listens inside a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ListenerView {
    /// Protocol.
    pub protocol: TransportProtocol,
    /// Address; `0.0.0.0` and `::` stand for all of the guest's own.
    #[schema(value_type = String)]
    pub address: IpAddr,
    /// Port.
    pub port: u16,
    /// Who holds the socket, lowest number first.
    pub processes: Vec<ListenerProcess>,
}

/// A process that holds a listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ListenerProcess {
    /// Number in the guest.
    pub pid: u32,
    /// Name; the guest's own words.
    pub name: String,
}

/// Figures of a VM.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VmStats {
    /// Identity.
    pub id: VmId,
    /// Name.
    pub name: VmName,
    /// Where it is in its life.
    pub state: VmState,
    /// Why its guest stands still, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<PauseReason>,
    /// As the host sees it.
    pub host: HostStats,
    /// As the guest sees itself; absent when it does not run or says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<GuestStats>,
    /// Why a guest that runs has no figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest_error: Option<String>,
}

/// Figures of a VM as the host sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostStats {
    /// The moment, in milliseconds of the host's clock that never jumps: for rates.
    pub at_ms: u64,
    /// Its machine; absent when it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineStats>,
    /// Its own disks.
    pub disks: Vec<DiskStats>,
}

/// What the processes of a machine use: the VMM and its companions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MachineStats {
    /// Processor time since their start, in milliseconds.
    pub cpu_ms: u64,
    /// Memory that they hold (resident set).
    pub resident_bytes: u64,
}

/// What a disk takes on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiskStats {
    /// `overlay` or `work`.
    pub role: String,
    /// Bytes that are really there: what the guest has written.
    pub allocated_bytes: u64,
    /// Bytes that the guest sees.
    pub size_bytes: u64,
}

/// Figures of a guest as it sees itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GuestStats {
    /// Seconds since its kernel started: the moment of these figures.
    pub uptime_seconds: f64,
    /// Processors.
    pub cpus: u32,
    /// Time of all processors at work, in milliseconds.
    pub cpu_busy_ms: u64,
    /// Time of all processors at rest, in milliseconds.
    pub cpu_idle_ms: u64,
    /// Time in which the host gave the processors to others, in milliseconds.
    pub cpu_steal_ms: u64,
    /// Memory.
    pub memory_total_bytes: u64,
    /// Memory that programs could still get.
    pub memory_available_bytes: u64,
    /// Swap.
    pub swap_total_bytes: u64,
    /// Swap that is free.
    pub swap_free_bytes: u64,
    /// `/` and `/root`.
    pub file_systems: Vec<FileSystemStats>,
    /// Network interfaces, without loopback.
    pub interfaces: Vec<InterfaceStats>,
    /// Load over 1, 5 and 15 minutes.
    pub load: Vec<f64>,
    /// Tasks (threads).
    pub tasks: u32,
}

/// A file system of a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileSystemStats {
    /// Where it is mounted.
    pub mount_point: String,
    /// Size.
    pub total_bytes: u64,
    /// In use.
    pub used_bytes: u64,
    /// What a program without privileges may still write.
    pub available_bytes: u64,
}

/// A network interface of a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InterfaceStats {
    /// Name.
    pub name: String,
    /// Bytes that came.
    pub received_bytes: u64,
    /// Bytes that went.
    pub sent_bytes: u64,
}
