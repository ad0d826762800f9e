//! VMs, as clients see them and ask for them.

use banger_model::whole_number::{natural, optional_natural};
use banger_model::{
    DiskBytes, DiskTrouble, IdempotencyKey, ImageName, KernelName, KillSignal, LostSocket, MemoryMib,
    NetworkTrouble, PauseReason, PullPolicy, Ttl, TtlChange, VcpuCount, VmId, VmName, VmSizes, VmState,
    WaitFor, WantedVmm,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::PullImage;

/// Asks for a VM. What is absent is filled in from the configuration, the host and the image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateVm {
    /// Name; generated when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<VmName>,
    /// Image of its root: one that is here, or one of the catalog.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageName>,
    /// The source of the image, instead of its name. It is pulled unless it is present. A bare name, as in `alpine`, is that
    /// of a local image, of one in the catalog, or of a container image of docker.io, in this order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_source: Option<PullImage>,
    /// When the image is pulled.
    #[serde(default, skip_serializing_if = "PullPolicy::is_missing")]
    pub pull: PullPolicy,
    /// Kernel; the image's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<KernelName>,
    /// Virtual processors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vcpus: Option<VcpuCount>,
    /// Memory in MiB.
    #[serde(default, rename = "memory_mib", skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryMib>,
    /// Size in bytes of each of its two disks: the overlay (`/`) and the work disk (`/root`).
    #[serde(default, rename = "disk_bytes", skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskBytes>,
    /// Overlay (`/`) in bytes, where it is another size.
    #[serde(default, rename = "overlay_bytes", skip_serializing_if = "Option::is_none")]
    pub overlay: Option<DiskBytes>,
    /// Work disk (`/root`) in bytes, where it is another size.
    #[serde(default, rename = "work_bytes", skip_serializing_if = "Option::is_none")]
    pub work: Option<DiskBytes>,
    /// Only make it.
    #[serde(default)]
    pub no_start: bool,
    /// What the start waits for.
    #[serde(default)]
    pub wait: WaitFor,
    /// A command follows at once: the guest's init leaves it the processor for a moment.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub command_follows: bool,
    /// VMM to use; the configuration's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vmm: Option<WantedVmm>,
    /// Seconds after which the VM is deleted, counted from its making or its last touch; it lives on when absent.
    #[serde(default, rename = "ttl_secs", skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Ttl>,
    /// The VM is deleted when this process of the host has ended, and nothing is kept of a failed start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound_to: Option<HostProcess>,
    /// Of the caller's choice: the same request with the same key is answered with the same operation or VM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<IdempotencyKey>,
}

/// A process of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HostProcess {
    /// Its number, as the daemon sees it.
    #[serde(deserialize_with = "natural")]
    #[schema(maximum = 4_294_967_295_u64)]
    pub pid: u32,
    /// When it started, in clock ticks since the host's boot (`/proc/<pid>/stat`, field 22).
    #[serde(deserialize_with = "natural")]
    #[schema(maximum = 18_446_744_073_709_551_615_u64)]
    pub start_ticks: u64,
}

/// Asks for other sizes or another time to live. What is absent stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetVm {
    /// Virtual processors, from the next start on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vcpus: Option<VcpuCount>,
    /// Memory in MiB, from the next start on.
    #[serde(default, rename = "memory_mib", skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryMib>,
    /// Size in bytes of each of its two disks, from the next start on; they can only grow.
    #[serde(default, rename = "disk_bytes", skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskBytes>,
    /// Overlay (`/`) in bytes, where it is another size.
    #[serde(default, rename = "overlay_bytes", skip_serializing_if = "Option::is_none")]
    pub overlay: Option<DiskBytes>,
    /// Work disk (`/root`) in bytes, where it is another size.
    #[serde(default, rename = "work_bytes", skip_serializing_if = "Option::is_none")]
    pub work: Option<DiskBytes>,
    /// Seconds to live from now on; 0: for ever.
    #[serde(default, rename = "ttl_secs", skip_serializing_if = "Option::is_none")]
    pub ttl: Option<TtlChange>,
}

/// Asks for the end of a machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KillVm {
    /// Signal for its process; `KILL` when absent. Another one is sent once, and the machine may go on.
    #[serde(default)]
    pub signal: KillSignal,
}

/// Asks for the removal of a VM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteVm {
    /// Refuse when it has a machine or somebody works on it; otherwise its machine is ended.
    #[serde(default)]
    pub only_stopped: bool,
}

/// Work on a VM that has begun and not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PendingWork {
    /// It is being made.
    Create,
    /// It is being removed.
    Delete,
    /// Its guest reboots: it shuts down, or its machine is being started again.
    Reboot,
}

/// Asks for a stop.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StopVm {
    /// Seconds that the guest gets; then the machine is ended. 20 when absent.
    #[serde(default, deserialize_with = "optional_natural", skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 4_294_967_295_u64)]
    pub grace_secs: Option<u32>,
}

/// Asks for a start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartVm {
    /// What the start waits for.
    #[serde(default)]
    pub wait: WaitFor,
}

/// A VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VmView {
    /// Identity.
    pub id: VmId,
    /// Name.
    pub name: VmName,
    /// Where it is in its life. `stopping` also when its guest has begun to shut down by itself.
    pub state: VmState,
    /// Image of its root.
    pub image: ImageName,
    /// Kernel it boots.
    pub kernel: KernelName,
    /// Virtual processors.
    pub vcpus: VcpuCount,
    /// Memory in MiB.
    pub memory_mib: MemoryMib,
    /// Work disk (`/root`) in bytes.
    pub disk_bytes: DiskBytes,
    /// Overlay (`/`) in bytes.
    #[serde(default = "DiskBytes::default_size")]
    pub overlay_bytes: DiskBytes,
    /// The sizes of the machine that runs, where they are other ones: those above hold from the next start on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<VmSizes>,
    /// When it was made (RFC 3339).
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When its machine was started (RFC 3339).
    #[schema(format = DateTime)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// VMM of its machine, with the accelerator: `qemu/tcg`, `qemu/kvm`, `firecracker`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vmm: Option<String>,
    /// Process of its machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Work on it that has not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<PendingWork>,
    /// Its machine runs, and its guest does not answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_unresponsive: bool,
    /// Since when its guest does not answer or stands still (RFC 3339).
    #[schema(format = DateTime)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unresponsive_since: Option<String>,
    /// Its guest stands still: the host's disk did not take what it wrote. It goes on by itself when there is room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<PauseReason>,
    /// Writes of its guest have failed since its machine started, for this reason. It stays until the next start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_trouble: Option<DiskTrouble>,
    /// Why it has no network now, although it was started with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_trouble: Option<NetworkTrouble>,
    /// A socket of its machine that somebody has removed: why its guest does not answer, or what the daemon cannot do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_socket: Option<LostSocket>,
    /// Its sizes were changed since its machine started; they hold from the next start on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub needs_restart: bool,
    /// When it is deleted because its time to live has passed (RFC 3339).
    #[schema(format = DateTime)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Boot id of its guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// Why the last start failed, or how its machine ended when nobody asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// The last command that was started for the VM itself, as `vm run -d` does, and not beside others in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<VmCommandView>,
}

/// The command of a VM. One that is not running has ended; if neither `exit_code` nor `signal` is present, `note` tells why they
/// are not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VmCommandView {
    /// Its arguments; those beyond 4 KiB are left out.
    pub argv: Vec<String>,
    /// Whether it is running.
    pub is_running: bool,
    /// When it was started (RFC 3339).
    #[schema(format = DateTime)]
    pub started_at: String,
    /// When it ended (RFC 3339).
    #[schema(format = DateTime)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// Its exit status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u8>,
    /// The signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<u32>,
    /// More about its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// How a guest ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EndingView {
    /// In words, with the guest or its VMM as the subject.
    pub why: String,
    /// The VM is started again by itself.
    pub starts_again: bool,
}

/// What `ssh` needs to enter a VM: the client asks for it before it starts the program.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SshAccess {
    /// Private key that the guest lets in, in OpenSSH's format. A secret.
    pub private_key: String,
    /// The VM's host key as a line of `known_hosts` (sshd(8), `SSH_KNOWN_HOSTS FILE FORMAT`).
    pub known_host: String,
    /// The name of the host in that line.
    pub host_key_alias: String,
}

impl std::fmt::Debug for SshAccess {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("SshAccess")
            .field("known_host", &self.known_host)
            .field("host_key_alias", &self.host_key_alias)
            .finish_non_exhaustive()
    }
}
