//! The row of a VM.

use banger_model::{Pending, Ttl, VmId, VmName, VmSizes, VmSpec, VmState, WantedVmm};

/// The identity of a guest, which makes it this VM; the agent receives it by `identify`.
#[derive(Clone, PartialEq, Eq)]
pub struct GuestIdentity {
    /// 32 hexadecimal digits for `/etc/machine-id`.
    pub machine_id: String,
    /// Host key in OpenSSH's private format.
    pub ssh_host_key: String,
    /// Public line of the same key.
    pub ssh_host_key_public: String,
    /// Hardware address of the network interface.
    pub mac: String,
}

impl std::fmt::Debug for GuestIdentity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("GuestIdentity").field("machine_id", &self.machine_id).finish_non_exhaustive()
    }
}

/// The request that made a VM, if its caller sent an idempotency key: the same request is then answered with the same VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateRequest {
    /// The caller's key; unique.
    pub key: String,
    /// Digest of the whole request.
    pub sha256: String,
    /// The operation that made the VM.
    pub op_id: String,
}

/// The persistent state of a VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmRow {
    /// Identity of the VM.
    pub id: VmId,
    /// Name; unique.
    pub name: VmName,
    /// Current state.
    pub state: VmState,
    /// Unfinished work.
    pub pending: Option<Pending>,
    /// The requested properties, which apply to the next machine.
    pub spec: VmSpec,
    /// The sizes of the latest machine; absent before the first one, and if an older version started it.
    pub machine: Option<VmSizes>,
    /// Identity of the guest.
    pub guest: GuestIdentity,
    /// Requested VMM.
    pub vmm_wish: WantedVmm,
    /// VMM of the latest machine.
    pub vmm: Option<String>,
    /// Boot ID of the latest guest.
    pub boot_id: Option<String>,
    /// The latest error.
    pub last_error: Option<String>,
    /// When the VM was created, in milliseconds since the Unix epoch.
    pub created_at_ms: i64,
    /// When the latest machine was started.
    pub started_at_ms: Option<i64>,
    /// When the sizes were last changed; they apply from the next start.
    pub changed_at_ms: Option<i64>,
    /// When the time to live was last reset.
    pub touched_at_ms: Option<i64>,
    /// The time to live.
    pub ttl: Option<Ttl>,
    /// The request that made the VM, if it had an idempotency key.
    pub request: Option<CreateRequest>,
    /// Process ID and start time of the host's process to which the VM is bound.
    pub bound_to: Option<(u32, u64)>,
}
