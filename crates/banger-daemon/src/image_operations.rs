//! Pulling and listing kernels and images, as operations and views.

use std::collections::BTreeMap;
use std::sync::Arc;

use banger_api::{ErrorBody, ImageView, KernelView, OperationKind, OperationView, PullRequest};
use banger_image::{ImageService, Kind, PullError, Replace, StoreError};
use banger_model::{ImageName, KernelName, NameError};
use tracing::warn;

use crate::http::Fault as _;
use crate::image_boot_source::progress_of;
use crate::operation::{Cancelled, Operations};

/// Why a kernel or image could not be listed or pulled.
#[derive(Debug, thiserror::Error)]
pub enum ImageOperationError {
    /// The name makes no sense.
    #[error(transparent)]
    Name(NameError),
    /// Pulling failed.
    #[error(transparent)]
    Pull(PullError),
    /// What is here cannot be read.
    #[error(transparent)]
    Store(StoreError),
    /// The caller asked to stop.
    #[error("cancelled; nothing is left behind")]
    Cancelled,
}

impl From<Cancelled> for ImageOperationError {
    fn from(_: Cancelled) -> Self {
        Self::Cancelled
    }
}

/// Everything that is done with kernels and images.
pub struct ImageOperations {
    images: Arc<ImageService>,
    operations: Operations,
}

impl ImageOperations {
    /// Kernels and images of this service.
    #[must_use]
    pub fn new(images: Arc<ImageService>, operations: Operations) -> Self {
        Self { images, operations }
    }

    /// Returns the kernels that are here and those that can be pulled, by name.
    ///
    /// # Errors
    /// [`ImageOperationError::Store`].
    pub fn list_kernels(&self) -> Result<Vec<KernelView>, ImageOperationError> {
        let listing = self.images.kernels().list().map_err(ImageOperationError::Store)?;
        warn_damaged(&listing.damaged);
        let catalog = self.images.available_kernels().iter().map(|entry| KernelView {
            name: entry.name.clone(),
            is_pulled: false,
            distro: entry.distro.clone(),
            arch: entry.arch.clone(),
            version: None,
            size_bytes: None,
            created_at: None,
            description: entry.description.clone(),
        });
        let mut views: BTreeMap<_, _> = catalog.map(|view| (view.name.clone(), view)).collect();
        for manifest in listing.found.into_iter().map(|kernel| kernel.manifest) {
            let description = views.remove(&manifest.name).map(|view| view.description);
            let view = KernelView {
                name: manifest.name.clone(),
                is_pulled: true,
                distro: manifest.distro,
                arch: manifest.arch,
                version: Some(manifest.version),
                size_bytes: Some(manifest.files.values().map(|file| file.size).sum()),
                created_at: Some(manifest.created_at),
                description: description.unwrap_or_default(),
            };
            views.insert(manifest.name, view);
        }
        Ok(views.into_values().collect())
    }

    /// Returns the images that are here and those that can be pulled, by name.
    ///
    /// # Errors
    /// [`ImageOperationError::Store`].
    pub fn list_images(&self) -> Result<Vec<ImageView>, ImageOperationError> {
        let listing = self.images.images().list().map_err(ImageOperationError::Store)?;
        warn_damaged(&listing.damaged);
        let catalog = self.images.available_images().iter().map(|entry| ImageView {
            name: entry.name.clone(),
            is_pulled: false,
            kernel: entry.kernel.clone(),
            arch: entry.arch.clone(),
            size_bytes: None,
            created_at: None,
            description: entry.description.clone(),
        });
        let mut views: BTreeMap<_, _> = catalog.map(|view| (view.name.clone(), view)).collect();
        for manifest in listing.found.into_iter().map(|image| image.manifest) {
            let description = views.remove(&manifest.name).map(|view| view.description);
            let view = ImageView {
                name: manifest.name.clone(),
                is_pulled: true,
                kernel: manifest.kernel,
                arch: manifest.arch,
                size_bytes: Some(manifest.files.values().map(|file| file.size).sum()),
                created_at: Some(manifest.created_at),
                description: description.unwrap_or_default(),
            };
            views.insert(manifest.name, view);
        }
        Ok(views.into_values().collect())
    }

    /// Begins to pull a kernel.
    ///
    /// # Errors
    /// [`ImageOperationError::Name`], [`ImageOperationError::Pull`] when the catalog does not have it.
    pub fn pull_kernel(&self, request: &PullRequest) -> Result<OperationView, ImageOperationError> {
        let name: KernelName = request.name.parse().map_err(ImageOperationError::Name)?;
        if !self.images.available_kernels().iter().any(|entry| entry.name == name) {
            return Err(unknown(Kind::Kernel, &request.name));
        }
        let (images, replace) = (Arc::clone(&self.images), replace(request));
        Ok(self.operations.begin(OperationKind::KernelPull, &request.name, |task| {
            finish(async move {
                let progress = progress_of(&task);
                let pulled = images.pull_kernel(&name, replace, &progress);
                task.unless_cancelled(pulled).await?.map(drop).map_err(ImageOperationError::Pull)
            })
        }))
    }

    /// Begins to pull an image, and the kernel that it boots.
    ///
    /// # Errors
    /// [`ImageOperationError::Name`], [`ImageOperationError::Pull`] when the catalog does not have it.
    pub fn pull_image(&self, request: &PullRequest) -> Result<OperationView, ImageOperationError> {
        let name: ImageName = request.name.parse().map_err(ImageOperationError::Name)?;
        if !self.images.available_images().iter().any(|entry| entry.name == name) {
            return Err(unknown(Kind::Image, &request.name));
        }
        let (images, replace) = (Arc::clone(&self.images), replace(request));
        Ok(self.operations.begin(OperationKind::ImagePull, &request.name, |task| {
            finish(async move {
                let progress = progress_of(&task);
                let pulled = async {
                    let image = images.pull_image(&name, replace, &progress).await?;
                    images.ensure_kernel(&image.manifest.kernel, &progress).await
                };
                task.unless_cancelled(pulled).await?.map(drop).map_err(ImageOperationError::Pull)
            })
        }))
    }
}

async fn finish(
    work: impl Future<Output = Result<(), ImageOperationError>>,
) -> Result<serde_json::Value, ErrorBody> {
    work.await.map(|()| serde_json::Value::Null).map_err(|error| error.to_body())
}

fn replace(request: &PullRequest) -> Replace {
    if request.force { Replace::Always } else { Replace::Never }
}

fn unknown(kind: Kind, name: &str) -> ImageOperationError {
    ImageOperationError::Pull(PullError::NotInCatalog { kind, name: name.to_owned() })
}

fn warn_damaged(damaged: &[StoreError]) {
    for error in damaged {
        warn!(%error, "left out of the list");
    }
}
