//! Kernels, as clients see them.

use std::collections::BTreeMap;

use banger_model::{Distro, HostPath, ImageName, KernelName, Sha256, VmName};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KernelView {
    /// Name.
    pub name: KernelName,
    /// Is it here, or only in the catalog?
    pub is_pulled: bool,
    /// Distribution it comes from; `custom` where nobody packaged it.
    pub distro: String,
    /// Architecture, as in `amd64`.
    pub arch: String,
    /// Release, as `uname -r` prints it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Bytes on disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// When it was made (RFC 3339).
    #[schema(format = DateTime)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// One line about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// A kernel with everything that is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KernelDetails {
    /// What the list says.
    #[serde(flatten)]
    pub kernel: KernelView,
    /// Where it came from, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Where its files are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// Its files by name.
    #[serde(default)]
    pub files: BTreeMap<String, ArtifactFile>,
    /// VMs that boot it.
    #[serde(default)]
    pub vms: Vec<VmName>,
    /// Images whose VMs boot it unless told otherwise.
    #[serde(default)]
    pub images: Vec<ImageName>,
}

/// A file of a kernel or an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ArtifactFile {
    /// Bytes.
    pub size_bytes: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
}

/// A kernel that can be pulled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CatalogKernel {
    /// Name.
    pub name: KernelName,
    /// Is it here already?
    pub is_pulled: bool,
    /// Distribution it comes from.
    pub distro: String,
    /// Release of the distribution.
    pub suite: String,
    /// Architecture, as in `amd64`.
    pub arch: String,
    /// Package that depends on the newest kernel package.
    pub package: String,
    /// One line about it.
    pub description: String,
}

/// Asks for a kernel to be made out of what is on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportKernel {
    /// File or directory: an absolute path.
    pub from: HostPath,
    /// Name it shall have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<KernelName>,
    /// `from` is the root of a file system with this distribution's layout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distro: Option<Distro>,
    /// Which kernel of such a root, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// What a file's content must be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// Also when the name is taken.
    #[serde(default)]
    pub force: bool,
}
