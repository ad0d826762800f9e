//! Where a VM's kernel, root and disks come from. Real: the image service; in tests: a fake.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use banger_image::{Hold, Image, OciPull, PullError};
use banger_model::{ErrorCode, Hint, ImageName, KernelName, PullPolicy, VmSpec};
use banger_vmm::KernelFiles;
use futures::future::BoxFuture;

use crate::fault::Fault;
use crate::operation::OperationTask;

/// Why a kernel, image or disk could not be had.
#[derive(Debug, thiserror::Error)]
pub enum BootSourceError {
    /// Pulling or looking it up failed.
    #[error(transparent)]
    Pull(PullError),
    /// A bare name, which is neither a local image nor one of the catalog, could not be pulled either.
    #[error(transparent)]
    PullBare(PullBareError),
    /// The image is not here, and whoever asks forbids to pull it.
    #[error("there is no local image `{name}`, and nothing is to be pulled")]
    MayNotPull {
        /// What was asked for.
        name: String,
    },
    /// The local image was to be pulled again, and stays as it is.
    #[error(transparent)]
    PullAgain(PullError),
    /// A disk could not be made.
    #[error(transparent)]
    Disk(banger_image::DiskError),
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
            Self::Pull(source) | Self::PullAgain(source) | Self::PullBare(PullBareError { source, .. }) => {
                source.code()
            }
            Self::MayNotPull { .. } => ErrorCode::NotFound,
            Self::Disk(_) | Self::Worker(_) | Self::AgentMissing { .. } => ErrorCode::OperationFailed,
        }
    }

    fn hint(&self) -> Option<Hint> {
        match self {
            // `--name` would be the VM's.
            Self::Pull(PullError::NameOfCatalog { name }) => {
                Some(Hint::RunCatalogImage { name: name.clone() })
            }
            Self::Pull(source) => source.hint(),
            Self::PullBare(PullBareError { name, .. }) => Some(Hint::RunAsCommand { word: name.to_string() }),
            Self::MayNotPull { .. } => Some(Hint::AllowPull),
            Self::PullAgain(_) => Some(Hint::UseLocalImage),
            Self::Disk(source) => source.hint(),
            Self::Worker(_) | Self::AgentMissing { .. } => None,
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
    pub source: PullError,
}

impl WantedImage {
    /// Sorts why the image could not be had, by what was asked for.
    #[must_use]
    pub fn refusal(&self, error: PullError) -> BootSourceError {
        let (Self::Named(_, when) | Self::From(_, when) | Self::Bare(_, when)) = self;
        match (error, when, self) {
            (PullError::NotHere { name, .. }, PullPolicy::Never, _) => {
                let name = if let Self::Bare(pull, _) = self { pull.name.to_string() } else { name };
                BootSourceError::MayNotPull { name }
            }
            (error @ PullError::InUse { .. }, PullPolicy::Always, _)
            | (error @ PullError::OtherSource { .. }, PullPolicy::Always, Self::Bare(..)) => {
                BootSourceError::PullAgain(error)
            }
            (error, _, _) => BootSourceError::Pull(error),
        }
    }
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

/// The disk in a VM's directory that takes the changes of `/`.
pub(crate) const OVERLAY_DISK: &str = "overlay.ext4";
/// The disk in a VM's directory that is `/root`.
pub(crate) const WORK_DISK: &str = "work.ext4";

/// Gets what a machine boots from.
pub trait BootSource: Send + Sync {
    /// Makes image and kernel be there, pulling them when needed, and checks that they are whole.
    fn ensure<'a>(
        &'a self,
        image: &'a WantedImage,
        kernel: Option<&'a KernelName>,
        task: &'a OperationTask,
    ) -> BoxFuture<'a, Result<BootFiles, BootSourceError>>;

    /// Makes [`OVERLAY_DISK`] and [`WORK_DISK`] in a VM's directory.
    fn make_disks<'a>(
        &'a self,
        directory: &'a Path,
        spec: &'a VmSpec,
        files: &'a BootFiles,
    ) -> BoxFuture<'a, Result<(), BootSourceError>>;
}

#[cfg(test)]
mod tests {
    use banger_image::OciSource;

    use banger_model::ArtifactKind;

    use super::*;

    fn told(image: &WantedImage, error: PullError) -> String {
        let error = image.refusal(error);
        format!("{error} | {:?}", error.hint().unwrap())
    }

    #[test]
    fn an_image_that_cannot_be_pulled_again_or_must_not_be_pulled_is_told_without_contradiction() {
        let source: OciSource = "gz".parse().unwrap();
        let pull = Box::new(OciPull::of(source, "gz".parse().unwrap(), "debian-12".parse().unwrap()));
        let bare = |when| WantedImage::Bare(pull.clone(), when);
        let (name, kind) = (|| "gz".to_owned(), ArtifactKind::Image);
        let other = PullError::OtherSource {
            name: name(),
            origin: "docker-archive:/gz.tar (sha256:ab)".to_owned(),
            source_text: "docker.io/library/gz:latest".to_owned(),
        };
        let in_use = PullError::InUse { kind, name: name(), vms: vec!["demo".parse().unwrap()] };
        let not_here = |name: &str| PullError::NotHere { kind, name: name.to_owned() };
        let lines = [
            told(&bare(PullPolicy::Always), other),
            told(&bare(PullPolicy::Always), in_use),
            told(&bare(PullPolicy::Never), not_here("docker.io/library/gz:latest")),
            told(&WantedImage::From(pull.clone(), PullPolicy::Never), not_here("docker.io/library/gz:v1")),
            told(
                &WantedImage::From(pull.clone(), PullPolicy::Missing),
                PullError::NameOfCatalog { name: name() },
            ),
        ];
        insta::assert_snapshot!(lines.join("\n"), @r#"
        the local image `gz` came from docker-archive:/gz.tar, not from docker.io/library/gz:latest | UseLocalImage
        the image `gz` is used by VM `demo` | UseLocalImage
        there is no local image `gz`, and nothing is to be pulled | AllowPull
        there is no local image `docker.io/library/gz:v1`, and nothing is to be pulled | AllowPull
        `gz` is the name of a catalog image | RunCatalogImage { name: "gz" }
        "#);
    }
}
