//! A VM as it is remembered.

use banger_model::{Ttl, VmId, VmName, VmSizes, VmSpec, VmState};

/// What makes a guest this VM and no other; handed to it by the agent's `identify`.
#[derive(Clone, PartialEq, Eq)]
pub struct GuestIdentity {
    /// 32 hexadecimal digits for `/etc/machine-id`.
    pub machine_id: String,
    /// Host key in OpenSSH's private form.
    pub ssh_host_key: String,
    /// The same key's public line.
    pub ssh_host_key_public: String,
    /// Hardware address.
    pub mac: String,
}

impl std::fmt::Debug for GuestIdentity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("GuestIdentity").field("machine_id", &self.machine_id).finish_non_exhaustive()
    }
}

/// Work on a row that must be finished or undone when the daemon dies in its middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    /// It is being made: undone.
    Create,
    /// It is being removed: finished.
    Delete,
    /// Its guest has rebooted: its machine is started again.
    Reboot,
}

impl Pending {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Reboot => "reboot",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::Create, Self::Delete, Self::Reboot].into_iter().find(|pending| pending.as_str() == name)
    }
}

/// The request that made a VM, when its caller gave it a key: the same request is then answered with the same VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateRequest {
    /// The caller's key, unique.
    pub key: String,
    /// Digest of everything that was asked for.
    pub sha256: String,
    /// The operation that made it.
    pub op_id: String,
}

/// A VM as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmRow {
    /// Identity.
    pub id: VmId,
    /// Name, unique.
    pub name: VmName,
    /// Where it is in its life.
    pub state: VmState,
    /// Work in its middle.
    pub pending: Option<Pending>,
    /// What it is made of.
    pub spec: VmSpec,
    /// The sizes of its latest machine; absent before its first, and where an older version started it.
    pub machine: Option<VmSizes>,
    /// Who its guest is.
    pub guest: GuestIdentity,
    /// VMM that was asked for: `auto`, `qemu`, `firecracker`.
    pub vmm_wish: String,
    /// VMM of its latest machine.
    pub vmm: Option<String>,
    /// Boot id of its latest guest.
    pub boot_id: Option<String>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// When it was made, milliseconds since the Unix epoch.
    pub created_at_ms: i64,
    /// When its machine was started last.
    pub started_at_ms: Option<i64>,
    /// When its sizes were changed last: they hold from the next start on.
    pub changed_at_ms: Option<i64>,
    /// When it got a new time to live.
    pub touched_at_ms: Option<i64>,
    /// How long it lives.
    pub ttl: Option<Ttl>,
    /// The request that made it.
    pub request: Option<CreateRequest>,
    /// Number and start time of the host's process with which it goes.
    pub bound_to: Option<(u32, u64)>,
}
