//! Where a VM's kernel, root and disks come from. Real: the image service; in tests: a fake.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use banger_api::ErrorCode;
use banger_image::{Hold, Image, OciPull};
use banger_model::{ImageName, KernelName, PullPolicy, VmSpec};
use banger_sys::files::FileError;
use banger_vmm::KernelFiles;
use futures::future::BoxFuture;

use crate::fault::Fault;
use crate::operation::OperationTask;

/// Why a kernel, image or disk could not be had.
#[derive(Debug, thiserror::Error)]
pub enum BootSourceError {
    /// Pulling or looking it up failed.
    #[error(transparent)]
    Pull(banger_image::PullError),
    /// A bare name, which is neither a local image nor one of the catalog, could not be pulled either.
    #[error(transparent)]
    PullBare(PullBareError),
    /// A disk could not be made.
    #[error(transparent)]
    Disk(banger_image::DiskError),
    /// A directory could not be made.
    #[error(transparent)]
    File(FileError),
    /// The thread that made the disks or read the kernel died.
    #[error("the work on the VM's files ended unexpectedly")]
    Worker(#[source] tokio::task::JoinError),
    /// The program for the guest is not where it should be.
    #[error("the guest's agent `{}` is missing; reinstall banger", path.display())]
    AgentMissing {
        /// Where it should be.
        path: PathBuf,
    },
}

impl Fault for BootSourceError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Pull(source) | Self::PullBare(PullBareError { source, .. }) => source.code(),
            Self::Disk(_) | Self::File(_) | Self::Worker(_) | Self::AgentMissing { .. } => {
                ErrorCode::OperationFailed
            }
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Pull(source) => source.hint(),
            Self::PullBare(PullBareError { name, .. }) => {
                Some(format!("to run `{name}` as a command: banger run -- {name}"))
            }
            Self::Disk(source) => source.hint(),
            Self::File(_) | Self::Worker(_) | Self::AgentMissing { .. } => None,
        }
    }
}

/// Why a container image could not be pulled that was asked for by a word which may have been meant as a command.
#[derive(Debug, thiserror::Error)]
#[error("there is no local image `{name}`, and it cannot be pulled")]
pub struct PullBareError {
    /// The word.
    pub name: ImageName,
    /// Why.
    pub source: banger_image::PullError,
}

/// Keeps image and kernel in their places until the machine has opened their files, or this is dropped.
#[derive(Debug, Default)]
pub struct KeptInPlace(Mutex<Vec<Hold>>);

impl KeptInPlace {
    /// Keeps what is held.
    #[must_use]
    pub fn new(holds: [Hold; 2]) -> Self {
        Self(Mutex::new(holds.into()))
    }

    /// Lets others replace and remove them.
    pub fn let_go(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// What a machine boots from.
#[derive(Debug)]
pub struct BootFiles {
    /// Which kernel it is.
    pub kernel_name: KernelName,
    /// Its files.
    pub kernel: KernelFiles,
    /// Its modules' drive; none where everything is built in.
    pub modules: Option<PathBuf>,
    /// Image and kernel stay where they are meanwhile.
    pub kept: KeptInPlace,
    /// The image's root.
    pub rootfs: PathBuf,
    /// The image: new work disks are made from it.
    pub image: Image,
}

/// The image that a machine boots from.
#[derive(Clone, Debug)]
pub enum WantedImage {
    /// One that is here, or one of the catalog.
    Named(ImageName, PullPolicy),
    /// A container image.
    From(Box<OciPull>, PullPolicy),
    /// One by a bare name: a local image, one of the catalog, or a container image of docker.io.
    Bare(Box<OciPull>, PullPolicy),
}

/// Gets what a machine boots from.
pub trait BootSource: Send + Sync {
    /// Makes image and kernel be there, pulling them when needed, and checks that they are whole.
    fn ensure<'a>(
        &'a self,
        image: &'a WantedImage,
        kernel: Option<&'a KernelName>,
        task: &'a OperationTask,
    ) -> BoxFuture<'a, Result<BootFiles, BootSourceError>>;

    /// Makes `overlay.ext4` and `work.ext4` in a VM's directory.
    fn make_disks<'a>(
        &'a self,
        directory: &'a Path,
        spec: &'a VmSpec,
        files: &'a BootFiles,
    ) -> BoxFuture<'a, Result<(), BootSourceError>>;
}
