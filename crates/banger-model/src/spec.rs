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
