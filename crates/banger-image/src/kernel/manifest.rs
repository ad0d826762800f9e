//! A local kernel: its manifest and its files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use banger_model::KernelName;
use serde::{Deserialize, Serialize};

use crate::artifact::{Artifact, Kind, Manifest};
use crate::digest::FileRecord;

/// Compressed kernel, for QEMU.
pub(crate) const VMLINUZ: &str = "vmlinuz";
/// ELF kernel, for Firecracker.
pub(crate) const VMLINUX: &str = "vmlinux";
/// The agent and the modules needed to reach the disks.
pub(crate) const INITRAMFS: &str = "initramfs";
/// The modules' part of the initramfs: kept so that another agent needs no unpacking.
pub(crate) const MODULES_PART: &str = "modules.cpio";
/// Read-only drive with all modules.
pub(crate) const MODULES_DRIVE: &str = "modules.ext4";

/// What is recorded of a kernel. Format 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelManifest {
    /// Version of this form.
    pub format_version: u32,
    /// Its name.
    pub name: KernelName,
    /// Whose kernel it is: `debian`.
    pub distro: String,
    /// Architecture in the distribution's words: `amd64`.
    pub arch: String,
    /// The kernel's release, as `uname -r` prints it.
    pub version: String,
    /// The files beside the manifest.
    pub files: BTreeMap<String, FileRecord>,
    /// Where it came from, for people.
    pub source: String,
    /// When it was made (RFC 3339).
    pub created_at: String,
    /// The agent in the initramfs.
    pub agent_sha256: String,
}

impl Manifest for KernelManifest {
    type Name = KernelName;
    const KIND: Kind = Kind::Kernel;
    const FORMAT_VERSION: u32 = 1;

    fn name(&self) -> &KernelName {
        &self.name
    }

    fn files(&self) -> Vec<(&str, &FileRecord)> {
        self.files.iter().map(|(name, record)| (name.as_str(), record)).collect()
    }
}

/// A local kernel.
pub type Kernel = Artifact<KernelManifest>;

impl Kernel {
    /// The compressed kernel, for QEMU.
    #[must_use]
    pub fn vmlinuz(&self) -> PathBuf {
        self.file(VMLINUZ)
    }

    /// The ELF kernel, for Firecracker.
    #[must_use]
    pub fn vmlinux(&self) -> PathBuf {
        self.file(VMLINUX)
    }

    /// The first root: the agent and the modules it needs.
    #[must_use]
    pub fn initramfs(&self) -> PathBuf {
        self.file(INITRAMFS)
    }

    /// The read-only drive that the guest mounts at `/lib/modules/<version>`.
    #[must_use]
    pub fn modules_drive(&self) -> PathBuf {
        self.file(MODULES_DRIVE)
    }
}
