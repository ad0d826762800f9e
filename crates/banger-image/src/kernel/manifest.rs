//! A local kernel: its manifest and its files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use banger_model::{ArtifactKind, KernelName};
use serde::{Deserialize, Serialize};

use crate::artifact::digest::FileRecord;
use crate::artifact::{Artifact, Manifest};

/// Compressed kernel; may be absent.
pub(crate) const VMLINUZ: &str = "vmlinuz";
/// ELF kernel: what VMMs boot.
pub(crate) const VMLINUX: &str = "vmlinux";
/// The agent and the modules needed to reach the disks.
pub(crate) const INITRAMFS: &str = "initramfs";
/// The modules' part of the initramfs: kept so that another agent needs no unpacking.
pub(crate) const MODULES_PART: &str = "modules.cpio";
/// Read-only drive with all modules; absent where the kernel has everything built in.
pub(crate) const MODULES_DRIVE: &str = "modules.ext4";

/// What is recorded of a kernel. Format 2; format 1 had all files, and only kernels with a PVH entry.
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
    /// Can QEMU enter its ELF file? If not, it boots the compressed kernel.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub has_pvh_entry: bool,
    /// The files beside the manifest.
    pub files: BTreeMap<String, FileRecord>,
    /// Where it came from, for people.
    pub source: String,
    /// When it was made (RFC 3339).
    pub created_at: String,
    /// The agent in the initramfs.
    pub agent_sha256: String,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_yes(value: &bool) -> bool {
    *value
}

impl Manifest for KernelManifest {
    type Name = KernelName;
    const KIND: ArtifactKind = ArtifactKind::Kernel;
    const FORMAT_VERSION: u32 = 2;
    const CAN_CHANGE_UNDER_VMS: bool = true;

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
    /// The compressed kernel, where there is one.
    #[must_use]
    pub fn vmlinuz(&self) -> Option<PathBuf> {
        self.recorded(VMLINUZ)
    }

    /// The ELF kernel.
    #[must_use]
    pub fn vmlinux(&self) -> PathBuf {
        self.file(VMLINUX)
    }

    /// The first root: the agent and the modules it needs.
    #[must_use]
    pub fn initramfs(&self) -> PathBuf {
        self.file(INITRAMFS)
    }

    /// The read-only drive that the guest mounts at `/lib/modules/<version>`; none where everything is built in.
    #[must_use]
    pub fn modules_drive(&self) -> Option<PathBuf> {
        self.recorded(MODULES_DRIVE)
    }

    fn recorded(&self, name: &str) -> Option<PathBuf> {
        self.manifest.files.contains_key(name).then(|| self.file(name))
    }
}
