//! The bodies of the API's requests and answers, as far as they are used.
//! Source: `src/firecracker/swagger/firecracker.yaml` of Firecracker 1.16.1.

use serde::{Deserialize, Serialize};

/// `GET /`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Instance {
    /// The id that it was started with.
    pub id: String,
    /// What it does.
    pub state: InstanceState,
}

/// What the machine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum InstanceState {
    /// It waits to be configured.
    #[serde(rename = "Not started")]
    NotStarted,
    /// Its guest runs.
    Running,
    /// Its guest is held.
    Paused,
}

/// `GET /version`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct VersionAnswer {
    /// As in `1.16.1`.
    pub firecracker_version: String,
}

/// `GET /machine-config`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct MachineConfigAnswer {
    /// Virtual processors.
    pub vcpu_count: u32,
    /// Memory in MiB.
    pub mem_size_mib: u64,
    /// Whether the guest's writes are noted for exact differences.
    #[serde(default)]
    pub track_dirty_pages: bool,
}

/// An answer with a status of 400 and more.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct FaultAnswer {
    /// Why.
    pub fault_message: String,
}

/// `PUT /machine-config`.
#[derive(Clone, Debug, Serialize)]
pub struct MachineConfig {
    /// Virtual processors.
    pub vcpu_count: u32,
    /// Memory in MiB.
    pub mem_size_mib: u64,
    /// Whether processors come in pairs of one core.
    pub smt: bool,
    /// Whether the guest's writes are noted for exact differences.
    #[serde(skip_serializing_if = "is_false")]
    pub track_dirty_pages: bool,
    /// Size of the host's pages; absent for ordinary ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub huge_pages: Option<HugePages>,
}

/// Pages that the host has set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum HugePages {
    /// 2 MiB each.
    #[serde(rename = "2M")]
    TwoMib,
}

/// `PUT /boot-source`.
#[derive(Clone, Debug, Serialize)]
pub struct BootSource {
    /// ELF kernel.
    pub kernel_image_path: String,
    /// Initramfs.
    pub initrd_path: String,
    /// Kernel command line, to which Firecracker adds its devices.
    pub boot_args: String,
}

/// `PUT /drives/{drive_id}`.
#[derive(Clone, Debug, Serialize)]
pub struct DriveConfig {
    /// Its name.
    pub drive_id: String,
    /// Raw file.
    pub path_on_host: String,
    /// Whether the kernel is told to take it as its root.
    pub is_root_device: bool,
    /// Whether writes are refused.
    pub is_read_only: bool,
    /// Whether the guest's flushes reach the disk.
    pub cache_type: CacheType,
    /// How the file is read and written.
    pub io_engine: IoEngine,
    /// What it may do at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limiter: Option<RateLimiter>,
}

/// What becomes of a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum CacheType {
    /// The guest is told that there is nothing to flush.
    Unsafe,
    /// The file is synced.
    Writeback,
}

/// How a drive's file is read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum IoEngine {
    /// One request after the other.
    #[default]
    Sync,
    /// By `io_uring`.
    Async,
}

/// What a device may do at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RateLimiter {
    /// In bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<TokenBucket>,
    /// In requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ops: Option<TokenBucket>,
}

/// An allowance that is filled up at a steady rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TokenBucket {
    /// How much it holds.
    pub size: u64,
    /// Milliseconds until an empty one is full.
    pub refill_time: u64,
}

/// `PUT /network-interfaces/{iface_id}`.
#[derive(Clone, Debug, Serialize)]
pub struct NetworkInterface {
    /// Its name.
    pub iface_id: String,
    /// The tap.
    pub host_dev_name: String,
    /// Hardware address.
    pub guest_mac: String,
}

/// `PUT /vsock`.
#[derive(Clone, Debug, Serialize)]
pub struct Vsock {
    /// The guest's address.
    pub guest_cid: u32,
    /// Socket for the host's streams to the guest.
    pub uds_path: String,
}

/// `PUT /balloon`.
#[derive(Clone, Debug, Serialize)]
pub struct Balloon {
    /// What is taken from the guest.
    pub amount_mib: u64,
    /// Whether a guest in need gets it back.
    pub deflate_on_oom: bool,
    /// Seconds between the guest's reports; 0 for none.
    pub stats_polling_interval_s: u16,
}

/// `PUT /entropy`.
#[derive(Clone, Debug, Serialize)]
pub struct Entropy {}

/// `PUT /actions`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "action_type")]
pub enum Action {
    /// Boots.
    InstanceStart,
    /// Writes the metrics now.
    FlushMetrics,
}

/// `PATCH /vm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state")]
pub enum VmChange {
    /// Holds the guest.
    Paused,
    /// Lets it go on.
    Resumed,
}

/// `PUT /snapshot/create`.
#[derive(Clone, Debug, Serialize)]
pub struct SnapshotCreate {
    /// How much memory is written.
    pub snapshot_type: SnapshotType,
    /// Where registers and devices go.
    pub snapshot_path: String,
    /// Where the memory goes.
    pub mem_file_path: String,
}

/// How much memory a snapshot has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum SnapshotType {
    /// All.
    Full,
    /// What has changed.
    Diff,
}

/// `PUT /snapshot/load`.
#[derive(Clone, Debug, Serialize)]
pub struct SnapshotLoad {
    /// Registers and devices.
    pub snapshot_path: String,
    /// Where the memory comes from.
    pub mem_backend: MemoryBackend,
    /// Whether the guest's writes are noted, by the name since 1.13.
    #[serde(skip_serializing_if = "is_false")]
    pub track_dirty_pages: bool,
    /// The same by its older name.
    #[serde(skip_serializing_if = "is_false")]
    pub enable_diff_snapshots: bool,
    /// Whether the guest runs at once.
    pub resume_vm: bool,
    /// Other taps than those of the snapshot.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub network_overrides: Vec<NetworkOverride>,
    /// Another socket than that of the snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vsock_override: Option<VsockOverride>,
}

/// Where a restored guest's memory comes from.
#[derive(Clone, Debug, Serialize)]
pub struct MemoryBackend {
    /// What the path is.
    pub backend_type: MemoryBackendType,
    /// The file, or the socket of the process that hands over pages.
    pub backend_path: String,
}

/// What a [`MemoryBackend`]'s path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum MemoryBackendType {
    /// A file.
    File,
    /// A socket.
    Uffd,
}

/// Another tap for an interface.
#[derive(Clone, Debug, Serialize)]
pub struct NetworkOverride {
    /// Which interface.
    pub iface_id: String,
    /// The tap.
    pub host_dev_name: String,
}

/// Another socket for the host's streams.
#[derive(Clone, Debug, Serialize)]
pub struct VsockOverride {
    /// The socket.
    pub uds_path: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}
