//! What a machine is made of.

use std::num::NonZeroU64;
use std::path::PathBuf;

use banger_model::{MemoryMib, VcpuCount, VmId};
use serde::{Deserialize, Serialize};

/// Everything a driver needs to start one machine. All paths are absolute.
#[derive(Clone, Debug)]
pub struct MachinePlan {
    /// Whose machine it is.
    pub vm: VmId,
    /// Directory for what must survive the VMM: console log, guest memory. Exists, 0700.
    pub state_directory: PathBuf,
    /// Directory for sockets. Exists, 0700; what is left in it from an older machine is removed by the driver.
    pub runtime_directory: PathBuf,
    /// What it boots.
    pub kernel: KernelFiles,
    /// Added to the driver's own kernel command line.
    pub kernel_arguments: Vec<String>,
    /// Virtual processors.
    pub vcpus: VcpuCount,
    /// Memory.
    pub memory: MemoryMib,
    /// Drives in the order in which the guest finds them; the driver tells the guest their roles
    /// (`banger.drives=` on the kernel command line).
    pub drives: Vec<Drive>,
    /// Network.
    pub network: Network,
    /// What each drive may do at most; `None` for as much as it can.
    pub drive_limit: Option<DriveLimit>,
}

/// What a drive may do at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DriveLimit {
    /// Bytes read and written per second.
    pub bytes_per_second: Option<NonZeroU64>,
    /// Reads, writes and flushes per second.
    pub operations_per_second: Option<NonZeroU64>,
}

/// A kernel's files.
#[derive(Clone, Debug)]
pub struct KernelFiles {
    /// Compressed image with the x86 boot header (bzImage); may be absent where the ELF file has a PVH entry.
    pub vmlinuz: Option<PathBuf>,
    /// The same kernel as an ELF file.
    pub vmlinux: PathBuf,
    /// Has the ELF file the entry for VMMs ("PVH")? QEMU boots it only then.
    pub has_pvh_entry: bool,
    /// Our initramfs.
    pub initramfs: PathBuf,
}

/// A block device of the guest.
#[derive(Clone, Debug)]
pub struct Drive {
    /// What the guest uses it for.
    pub role: DriveRole,
    /// Raw file on the host.
    pub path: PathBuf,
}

/// What the guest uses a drive for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DriveRole {
    /// The image's root: shared, read-only.
    Base,
    /// The kernel's modules: shared, read-only.
    Modules,
    /// What this VM changes in its root.
    Overlay,
    /// `/root`.
    Work,
}

impl DriveRole {
    /// Name on the kernel command line and as the drive's serial.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Modules => "modules",
            Self::Overlay => "overlay",
            Self::Work => "work",
        }
    }

    /// Tells whether the guest may write to it.
    #[must_use]
    pub fn is_writable(self) -> bool {
        match self {
            Self::Base | Self::Modules => false,
            Self::Overlay | Self::Work => true,
        }
    }
}

/// The machine's network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// Loopback only.
    None,
    /// Outbound access without root, through a user-mode stack.
    UserMode {
        /// Hardware address, as in `52:54:00:12:34:56`.
        mac: String,
    },
}
