//! Listing images, and pulling those of the catalog, as views and operations.

use std::collections::BTreeMap;
use std::sync::Arc;

use banger_api::{ImageView, OperationKind, OperationView, PullImage};
use banger_image::{
    BundleLocationError, CacheError, Image, ImageEntry, ImageService, ImportError, MinisignKeyError,
    OciSourceError, PackError, Progress, PullError, RegisterError, Replace, StoreError,
};
use banger_model::{ImageName, NameError};
use banger_store::Store;
use futures::future::BoxFuture;

use super::local::view;
use super::{finish, progress_of, warn_damaged};
use crate::operation::{Cancelled, Operations};

/// Why something could not be done with an image.
#[derive(Debug, thiserror::Error)]
pub enum ImageOperationError {
    /// The source makes no sense.
    #[error(transparent)]
    Source(OciSourceError),
    /// The place of a bundle makes no sense.
    #[error(transparent)]
    Location(BundleLocationError),
    /// The key of a bundle makes no sense.
    #[error(transparent)]
    MinisignKey(MinisignKeyError),
    /// There is no such image.
    #[error("there is no local image `{name}`")]
    NotHere {
        /// What was asked for.
        name: String,
    },
    /// There is no such image, here or in the catalog.
    #[error("there is no image `{name}`")]
    NotFound {
        /// What was asked for.
        name: String,
    },
    /// An image by its name and an image by its source.
    #[error("give either the name of an image or its source, not both")]
    TwoImages,
    /// A kernel by name and a kernel by files.
    #[error("give either the name of a kernel or its files, not both")]
    TwoKernels,
    /// Neither of them.
    #[error("the image needs a kernel; give its name or its files")]
    NoKernel,
    /// An initramfs or modules without a kernel.
    #[error("an initramfs and modules need the file of their kernel")]
    NoKernelFile,
    /// A kernel that is imported has its image's name.
    #[error("the image's name is not a valid name for its kernel")]
    KernelName(#[source] NameError),
    /// The kernel's files cannot be used.
    #[error(transparent)]
    KernelFiles(ImportError),
    /// The image's files cannot be used.
    #[error(transparent)]
    Register(RegisterError),
    /// The thread that looked at the files died.
    #[error("the work on the image's files ended unexpectedly")]
    Worker(#[source] tokio::task::JoinError),
    /// Who uses it cannot be read.
    #[error(transparent)]
    Rows(banger_store::StoreError),
    /// No bundle could be made.
    #[error("cannot bundle the image")]
    Pack(#[source] PackError),
    /// No name can be made of the source.
    #[error("`{source_text}` contains no valid name for the image")]
    NoName {
        /// The source.
        source_text: String,
        /// Why.
        source: NameError,
    },
    /// An image of the catalog is what it is.
    #[error("the name and kernel of the catalog image `{name}` cannot be changed")]
    OfCatalog {
        /// The image.
        name: ImageName,
    },
    /// The cache could not be emptied.
    #[error("cannot prune the cache")]
    Cache(#[source] CacheError),
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
    pub fn list(&self) -> Result<Vec<ImageView>, ImageOperationError> {
        let listing = self.images.images().list().map_err(ImageOperationError::Store)?;
        warn_damaged(&listing.damaged);
        let catalog = self.images.available_images().iter().map(view_of_entry);
        let mut views: BTreeMap<_, _> = catalog.map(|view| (view.name.clone(), view)).collect();
        for image in &listing.found {
            let description = views.remove(&image.manifest.name).map(|view| view.description);
            views.insert(image.manifest.name.clone(), view(image, description.unwrap_or_default()));
        }
        Ok(views.into_values().collect())
    }

    /// Begins to pull an image, and the kernel that it boots. What is in the catalog comes from there; everything else is
    /// the source of a container image.
    ///
    /// # Errors
    /// [`ImageOperationError`] when it makes no sense; nothing has begun then.
    pub fn pull(&self, request: &PullImage) -> Result<OperationView, ImageOperationError> {
        let named = request.source.parse::<ImageName>().ok();
        let catalog = self.images.available_images();
        match named.filter(|name| catalog.iter().any(|entry| entry.name == *name)) {
            Some(name) if request.name.is_some() || request.kernel.is_some() => {
                Err(ImageOperationError::OfCatalog { name })
            }
            Some(name) => {
                let replace = self.replace(&name, request.force)?;
                Ok(self.pull_from_catalog(name, replace))
            }
            None => self.pull_from_elsewhere(request),
        }
    }

    fn pull_from_catalog(&self, name: ImageName, replace: Replace) -> OperationView {
        self.begin_pull(&name.clone(), move |images, progress| {
            Box::pin(async move { images.pull_image(&name, replace, progress).await })
        })
    }

    /// Begins to pull an image in one way or another, and to get the kernel that it boots.
    pub(super) fn begin_pull(&self, name: &ImageName, pull: impl Pull) -> OperationView {
        let images = Arc::clone(&self.images);
        self.operations.begin(OperationKind::ImagePull, name.as_str(), |task| {
            finish(async move {
                let progress = progress_of(&task);
                let pulled = async {
                    let image = pull(&images, &progress).await?;
                    images.ensure_kernel(&image.manifest.kernel, &progress).await
                };
                task.unless_cancelled(pulled).await?.map(drop).map_err(ImageOperationError::Pull)
            })
        })
    }
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

pub(super) fn view_of_entry(entry: &ImageEntry) -> ImageView {
    ImageView {
        name: entry.name.clone(),
        is_pulled: false,
        is_registered: false,
        kernel: entry.kernel.clone(),
        arch: entry.arch.clone(),
        size_bytes: None,
        created_at: None,
        description: entry.description.clone(),
    }
}
