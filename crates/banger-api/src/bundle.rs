//! Images as single files.

use banger_model::whole_number::optional_natural;
use banger_model::{HostPath, ImageName, KernelName, Sha256};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Asks for an image that somebody made a bundle of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PullBundle {
    /// Absolute path of a file, or an address: `https://`, or `http://` on this host.
    #[schema(pattern = r"^(/|https?://).+$")]
    pub location: String,
    /// What the image is called here; made of the file's name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<ImageName>,
    /// Kernel that its VMs boot unless told otherwise; the bundle's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<KernelName>,
    /// What the bundle must be. A bundle from an address needs this or `minisign_key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// Public key of minisign, with which `<location>.minisig` must have been made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minisign_key: Option<String>,
    /// Also when an image of this name is here already.
    #[serde(default)]
    pub force: bool,
    /// Bytes that it may unpack to; what the configuration says when absent.
    #[serde(default, deserialize_with = "optional_natural", skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 18_446_744_073_709_551_615_u64)]
    pub max_bytes: Option<u64>,
}

/// Asks to make a bundle of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PackBundle {
    /// Absolute path of a file that is not there yet.
    pub output: HostPath,
}

/// A bundle that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BundleView {
    /// Where it is.
    pub path: String,
    /// Bytes.
    pub size_bytes: u64,
    /// What `--sha256` has to be for it.
    pub sha256: Sha256,
}
