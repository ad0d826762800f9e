//! Images, as clients see them, and how a kernel or image is asked for.

use std::collections::BTreeMap;

use banger_model::whole_number::optional_natural;
use banger_model::{HostPath, ImageName, KernelName, VmName};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ArtifactFile;

/// Asks for a kernel of the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PullRequest {
    /// Name in the catalog.
    pub name: KernelName,
    /// Also when it is here already.
    #[serde(default)]
    pub force: bool,
}

/// Asks for an image: of the catalog, of a registry, or of this host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PullImage {
    /// Name in the catalog; a reference, as in `alpine:3.20` or `ghcr.io/owner/image@sha256:…`; or with an absolute path
    /// `oci:<directory>[:<tag>]`, `oci-archive:<file>[:<tag>]` or `docker-archive:<file>[:<name>]`. A path of `-` is the
    /// archive that `input` leads to.
    #[schema(min_length = 1)]
    pub source: String,
    /// Absolute path of the file that stands for `-` in the source; it may be that of a descriptor of the caller
    /// (`/proc/<pid>/fd/<number>`), which stays open until the operation ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<HostPath>,
    /// What an image from elsewhere is called here; when absent, made of the name that a layout or archive gives it, else of
    /// its source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<ImageName>,
    /// Kernel that the VMs of an image from elsewhere boot unless told otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<KernelName>,
    /// Also when it is here already.
    #[serde(default)]
    pub force: bool,
    /// Asks a registry that is not on this host without TLS.
    #[serde(default)]
    pub insecure_http: bool,
    /// Directory of docker's configuration; where docker looks for it when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docker_config: Option<HostPath>,
    /// Directories where docker's credential helpers are looked for, as in `PATH`; those of the daemon when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search_path: Option<String>,
    /// Bytes that it may unpack to; what the configuration says when absent.
    #[serde(default, deserialize_with = "optional_natural", skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 18_446_744_073_709_551_615_u64)]
    pub max_bytes: Option<u64>,
}

/// Asks to empty the cache of what registries gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PruneCache {
    /// Only tell what would be removed.
    #[serde(default)]
    pub dry_run: bool,
}

/// What was removed from the cache, or would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrunedCache {
    /// Layers and other blobs.
    pub blobs: u64,
    /// Bytes on disk.
    pub bytes: u64,
}

/// An image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImageView {
    /// Name.
    pub name: ImageName,
    /// Is it here, or only in the catalog?
    pub is_pulled: bool,
    /// Does it consist of files of the host that were registered?
    #[serde(default)]
    pub is_registered: bool,
    /// Reference by which it was pulled from a registry, as in `docker.io/library/alpine:3.20`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Kernel its VMs boot unless told otherwise.
    pub kernel: KernelName,
    /// Architecture.
    pub arch: String,
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

/// An image with everything that is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImageDetails {
    /// What the list says.
    #[serde(flatten)]
    pub image: ImageView,
    /// Different for every build; an image that was replaced is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Whose system it is; empty where nobody knows.
    pub distro: String,
    /// Where it came from, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Where its own files are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// Its own files by name. The work-seed is none of them: it changes with the user's key.
    #[serde(default)]
    pub files: BTreeMap<String, ArtifactFile>,
    /// Files of the host that it was registered with.
    #[serde(default)]
    pub host_files: Vec<String>,
    /// The key that its work-seed lets in, as `ssh-keygen -l` prints it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seeded_key: Option<String>,
    /// Ports that must answer before a VM counts as fully up.
    #[serde(default)]
    pub ready_ports: Vec<u16>,
    /// How its processes start, where the image says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ImageProcessView>,
    /// Packages that were asked for.
    #[serde(default)]
    pub packages: Vec<String>,
    /// VMs that were made from it.
    #[serde(default)]
    pub vms: Vec<VmName>,
}

/// How the processes of an image start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImageProcessView {
    /// What it runs where no command is given.
    pub command: Vec<String>,
    /// Variables, as `NAME=value`.
    pub environment: Vec<String>,
    /// User, as the image writes it; empty is root.
    pub user: String,
    /// Directory; empty is the root directory.
    pub working_directory: String,
}

/// Asks to record files of the host as an image, where they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterImage {
    /// What it is called.
    pub name: ImageName,
    /// An ext4 file system in a file, the root of its VMs: an absolute path.
    pub rootfs: HostPath,
    /// An ext4 file system in a file, what `/root` of a new VM starts with; the root's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_seed: Option<HostPath>,
    /// Name of the kernel that its VMs boot. Either this or `kernel`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_ref: Option<KernelName>,
    /// A kernel, ELF or compressed, which is imported under the image's name: an absolute path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<HostPath>,
    /// The kernel's initramfs; it is not used, because banger makes its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initrd: Option<HostPath>,
    /// The kernel's module tree: an absolute path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modules: Option<HostPath>,
    /// Also when the name is taken.
    #[serde(default)]
    pub force: bool,
}
