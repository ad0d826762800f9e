//! Kernels and images, as clients see them.

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

/// A kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KernelView {
    /// Name.
    pub name: KernelName,
    /// Is it here, or only in the catalog?
    pub is_pulled: bool,
    /// Distribution it comes from.
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// One line about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
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
