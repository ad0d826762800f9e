//! Why a guest has lost writes to its disks.

use serde::{Deserialize, Serialize};

/// The reason why writes of a running VM's guest have failed. Its VMM does not pause a guest in such a case but reports an
/// error to it, so the data is lost, and the guest's file systems may have become read-only until it boots again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum DiskTrouble {
    /// The host's disk was full.
    HostDiskFull,
    /// The host's disk refused writes for another reason: a quota, a disk that fails or has become read-only.
    HostDiskError,
}

impl DiskTrouble {
    /// Returns what happened and what to do, as tables and events show it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HostDiskFull => {
                "the host's disk was full, and the guest has lost writes; free some space, then restart the VM"
            }
            Self::HostDiskError => {
                "the host's disk returned errors, and the guest has lost writes; check the disk, then restart the VM"
            }
        }
    }
}

impl std::fmt::Display for DiskTrouble {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(self.as_str())
    }
}
