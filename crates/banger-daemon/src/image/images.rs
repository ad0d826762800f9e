//! Listing images, and pulling those of the catalog, as operations.

use std::collections::BTreeMap;
use std::sync::Arc;

use banger_image::{Image, ImageService, Progress, PullError, Replace};
use banger_model::{ImageName, OperationKind};
use banger_store::Store;
use futures::future::BoxFuture;

use super::error::ImageOperationError;
use super::wish::ImageWish;
use super::work::{finish, progress_of, warn_damaged};
use crate::facts::ImageFacts;
use crate::operation::{OperationStatus, Operations};

/// Everything that is done with images.
pub struct ImageOperations {
    pub(super) images: Arc<ImageService>,
    pub(super) rows: Arc<Store>,
    pub(super) operations: Operations,
}

impl ImageOperations {
    /// Images of this service, used by the VMs of these rows.
    #[must_use]
    pub fn new(images: Arc<ImageService>, rows: Arc<Store>, operations: Operations) -> Self {
        Self { images, rows, operations }
    }

    /// Returns the images that are here and those that can be pulled, by name.
    ///
    /// # Errors
    /// [`ImageOperationError::Store`].
    pub fn list(&self) -> Result<Vec<ImageFacts>, ImageOperationError> {
        let listing = self.images.images().list().map_err(ImageOperationError::Store)?;
        warn_damaged(&listing.damaged);
        let catalog = self.images.available_images().iter().cloned().map(ImageFacts::InCatalog);
        let mut all: BTreeMap<_, _> = catalog.map(|image| (image.name().clone(), image)).collect();
        for image in listing.found {
            let name = image.manifest.name.clone();
            let description = match all.remove(&name) {
                Some(ImageFacts::InCatalog(entry)) => entry.description,
                Some(ImageFacts::Local { .. }) | None => String::new(),
            };
            all.insert(name, ImageFacts::Local { image, description });
        }
        Ok(all.into_values().collect())
    }

    /// Begins to pull an image, and the kernel that it boots. What is in the catalog comes from there; everything else is
    /// the source of a container image.
    ///
    /// # Errors
    /// [`ImageOperationError`] when it makes no sense; nothing has begun then.
    pub fn pull(&self, wish: ImageWish) -> Result<OperationStatus, ImageOperationError> {
        let catalog = self.images.available_images();
        match wish.bare_name.clone().filter(|name| catalog.iter().any(|entry| entry.name == *name)) {
            Some(name) if wish.name.is_some() || wish.kernel.is_some() => {
                Err(ImageOperationError::OfCatalog { name })
            }
            Some(name) => {
                let replace = self.replace(&name, wish.force)?;
                Ok(self.pull_from_catalog(name, replace))
            }
            None => self.pull_from_elsewhere(wish),
        }
    }

    fn pull_from_catalog(&self, name: ImageName, replace: Replace) -> OperationStatus {
        self.begin_pull(&name.clone(), move |images, progress| {
            Box::pin(async move { images.pull_image(&name, replace, progress).await })
        })
    }

    /// Begins to pull an image in one way or another, and to get the kernel that it boots.
    pub(super) fn begin_pull(&self, name: &ImageName, pull: impl Pull) -> OperationStatus {
        let images = Arc::clone(&self.images);
        self.operations.begin(OperationKind::ImagePull, name.as_str(), |task| {
            finish(async move {
                let progress = progress_of(&task);
                let pulled = async {
                    let image = pull(&images, &progress).await?;
                    get_kernel(&images, &image, &progress).await
                };
                task.unless_cancelled(pulled).await?.map_err(ImageOperationError::Pull)
            })
        })
    }
}

/// Gets the kernel that the VMs of an image boot.
pub(super) async fn get_kernel(
    images: &ImageService,
    image: &Image,
    progress: &Progress,
) -> Result<(), PullError> {
    let kernel = &image.manifest.kernel;
    images.ensure_kernel(kernel, progress).await.map(drop).map_err(|error| PullError::KernelOfImage {
        image: image.manifest.name.to_string(),
        kernel: kernel.to_string(),
        source: Box::new(error),
    })
}

/// A way to pull an image.
pub(super) trait Pull:
    for<'a> FnOnce(&'a ImageService, &'a Progress) -> BoxFuture<'a, Result<Image, PullError>> + Send + 'static
{
}

impl<F> Pull for F where
    F: for<'a> FnOnce(&'a ImageService, &'a Progress) -> BoxFuture<'a, Result<Image, PullError>>
        + Send
        + 'static
{
}
