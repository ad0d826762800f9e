//! What a VM is made of.

use serde::{Deserialize, Serialize};

use crate::{DiskBytes, ImageName, KernelName, MemoryMib, VcpuCount};

/// What was asked for, with every default filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmSpec {
    /// Image of its root.
    pub image: ImageName,
    /// Kernel it boots.
    pub kernel: KernelName,
    /// Virtual processors.
    pub vcpus: VcpuCount,
    /// Memory.
    pub memory: MemoryMib,
    /// Work disk, mounted at `/root`.
    pub work_disk: DiskBytes,
    /// Overlay of the root.
    pub overlay_disk: DiskBytes,
}

impl VmSpec {
    /// Returns the sizes of a machine that is started now.
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

/// Sizes of a machine: they hold from its start to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VmSizes {
    /// Virtual processors.
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
