//! The specification of a VM.

use serde::{Deserialize, Serialize};

use crate::{DiskBytes, ImageName, KernelName, MemoryMib, VcpuCount};

/// A VM's requested properties, with every default filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmSpec {
    /// Image that provides the root.
    pub image: ImageName,
    /// Kernel that the VM boots.
    pub kernel: KernelName,
    /// Number of virtual processors.
    pub vcpus: VcpuCount,
    /// Memory of the guest.
    pub memory: MemoryMib,
    /// Work disk, mounted at `/root`.
    pub work_disk: DiskBytes,
    /// Overlay of the root.
    pub overlay_disk: DiskBytes,
}

impl VmSpec {
    /// Returns the sizes of a machine that starts now.
    #[must_use]
    pub fn sizes(&self) -> VmSizes {
        VmSizes {
            vcpus: self.vcpus,
            memory: self.memory,
            work_disk: self.work_disk,
            overlay_disk: self.overlay_disk,
        }
    }
}

/// Sizes of a machine. They stay the same from its start to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VmSizes {
    /// Number of virtual processors.
    pub vcpus: VcpuCount,
    /// Memory in MiB.
    #[serde(rename = "memory_mib")]
    pub memory: MemoryMib,
    /// Work disk (`/root`) in bytes.
    #[serde(rename = "disk_bytes")]
    pub work_disk: DiskBytes,
    /// Overlay (`/`) in bytes.
    #[serde(rename = "overlay_bytes")]
    pub overlay_disk: DiskBytes,
}
