//! The reasons why a kernel or image is not there.

use std::error::Error;
use std::io;

use banger_model::{ArtifactKind, BelowFloor, VmName};
use banger_sys::files::FileError;

use crate::artifact::store::StoreError;
use crate::bundle::BundlePullError;
use crate::image::{FinishError, ImageBuildError, PromoteError};
use crate::kernel::{ImportError, KernelBuildError, RefreshError};
use crate::oci::{OciPullError, place_of};

/// Why a kernel or image is not there.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// Nobody knows how to make it.
    #[error("the {kind} `{name}` is neither local nor in the catalog")]
    NotInCatalog {
        /// Kernel or image.
        kind: ArtifactKind,
        /// Its name.
        name: String,
    },
    /// There is one of this name; said to who brings another one.
    #[error(
        "the {kind} `{name}` already exists; replace it with `--force`, or choose another name with `--name`"
    )]
    NameTaken {
        /// Kernel or image.
        kind: ArtifactKind,
        /// Its name.
        name: String,
    },
    /// There is none of this name to remove.
    #[error("there is no local {kind} `{name}`")]
    NotHere {
        /// Kernel or image.
        kind: ArtifactKind,
        /// Its name.
        name: String,
    },
    /// VMs need it as it is.
    #[error("the {kind} `{name}` is used by {}", list(vms))]
    InUse {
        /// Kernel or image.
        kind: ArtifactKind,
        /// Its name.
        name: String,
        /// Who.
        vms: Vec<VmName>,
    },
    /// It is not known who needs it.
    #[error("cannot tell which VMs use the {kind} `{name}`")]
    Users {
        /// Kernel or image.
        kind: ArtifactKind,
        /// Its name.
        name: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// It could not be removed.
    #[error("cannot remove the {kind} `{name}`")]
    Remove {
        /// Kernel or image.
        kind: ArtifactKind,
        /// Its name.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The local one cannot be used.
    #[error("cannot use the local {kind} `{name}`")]
    Local {
        /// Kernel or image.
        kind: ArtifactKind,
        /// Its name.
        name: String,
        /// Why.
        source: StoreError,
    },
    /// There is not enough room to begin.
    #[error("cannot start to pull the {kind} `{name}`")]
    TooLittleSpace {
        /// Kernel or image.
        kind: ArtifactKind,
        /// Its name.
        name: String,
        /// What is free, and what must be.
        source: BelowFloor,
    },
    /// The disk became full on the way. Nothing is left of the pull.
    #[error("the disk filled up while the {kind} `{name}` was pulled")]
    DiskFull {
        /// Kernel or image.
        kind: ArtifactKind,
        /// Its name.
        name: String,
        /// What could not be written.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The kernel could not be made.
    #[error("cannot pull the kernel `{name}`")]
    Kernel {
        /// Its name.
        name: String,
        /// Why.
        source: KernelBuildError,
    },
    /// What somebody brought could not be made a kernel.
    #[error("cannot import the kernel `{name}`")]
    Import {
        /// Its name.
        name: String,
        /// Why.
        source: ImportError,
    },
    /// The image could not be made.
    #[error("cannot pull the image `{name}`")]
    Image {
        /// Its name.
        name: String,
        /// Why.
        source: ImageBuildError,
    },
    /// Files of the host could not be recorded as an image.
    #[error("cannot register the image `{name}`")]
    Register {
        /// Its name.
        name: String,
        /// Why.
        source: FinishError,
    },
    /// A registered image could not be made ours.
    #[error("cannot promote the image `{name}`")]
    Promote {
        /// Its name.
        name: String,
        /// Why.
        source: PromoteError,
    },
    /// The kernel has an older agent, which could not be replaced.
    #[error("cannot add this version's agent to the kernel `{name}`")]
    Refresh {
        /// Its name.
        name: String,
        /// Why.
        source: RefreshError,
    },
    /// The image could not be pulled from where it is.
    #[error("cannot pull the image `{name}`")]
    Oci {
        /// Its name.
        name: String,
        /// Why.
        source: Box<OciPullError>,
    },
    /// The archive on standard input cannot be used.
    #[error("cannot pull an image from standard input")]
    Input {
        /// Why.
        source: Box<OciPullError>,
    },
    /// The archive on standard input does not say what its image is called.
    #[error("the archive on standard input does not name its image")]
    Unnamed {
        /// What was asked for.
        source_text: String,
    },
    /// The image could not be made of a bundle.
    #[error("cannot pull the image `{name}`")]
    Bundle {
        /// Its name.
        name: String,
        /// Why.
        source: Box<BundlePullError>,
    },
    /// The name that an image would have belongs to one from elsewhere.
    #[error("the local image `{name}` came from {}, not from {source_text}", place_of(origin))]
    OtherSource {
        /// The name.
        name: String,
        /// Where the one that is here came from.
        origin: String,
        /// What was asked for.
        source_text: String,
    },
    /// An image from elsewhere may not look like one of the catalog.
    #[error("`{name}` is the name of a catalog image")]
    NameOfCatalog {
        /// The name.
        name: String,
    },
    /// The image is here, and the kernel that its VMs boot is not.
    #[error("the image `{image}` is pulled, but its kernel `{kernel}` is not")]
    KernelOfImage {
        /// The image.
        image: String,
        /// The kernel.
        kernel: String,
        /// Why it is not.
        source: Box<PullError>,
    },
    /// It was made and could not take its place.
    #[error("cannot publish the {kind} `{name}`")]
    Publish {
        /// Kernel or image.
        kind: ArtifactKind,
        /// Its name.
        name: String,
        /// Why.
        source: FileError,
    },
}

/// Returns VMs as a sentence has them.
fn list(vms: &[VmName]) -> String {
    let quoted: Vec<_> = vms.iter().map(|vm| format!("`{vm}`")).collect();
    format!("{} {}", if vms.len() == 1 { "VM" } else { "VMs" }, quoted.join(", "))
}
