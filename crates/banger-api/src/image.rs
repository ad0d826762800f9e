//! Images, as clients see them, and how a kernel or image is asked for.

use banger_model::{ImageName, KernelName};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Asks for a kernel or image of the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PullRequest {
    /// Name in the catalog.
    pub name: String,
    /// Also when it is here already.
    #[serde(default)]
    pub force: bool,
}

/// Asks for an image: of the catalog, of a registry, or of this host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PullImage {
    /// Name in the catalog; a reference, as in `alpine:3.20` or `ghcr.io/owner/image@sha256:…`; or with an absolute path
    /// `oci:<directory>[:<tag>]` or `docker-archive:<file>[:<name>]`.
    pub source: String,
    /// What an image from elsewhere is called here; made of its source when absent.
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
    pub docker_config: Option<String>,
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
    /// Kernel its VMs boot unless told otherwise.
    pub kernel: KernelName,
    /// Architecture.
    pub arch: String,
    /// Bytes on disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// When it was made (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// One line about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}
