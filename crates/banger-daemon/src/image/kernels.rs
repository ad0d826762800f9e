//! Pulling and listing kernels, as operations and views.

use std::collections::BTreeMap;
use std::sync::Arc;

use banger_api::{KernelView, OperationKind, OperationView, PullRequest};
use banger_image::{ImageService, Kind, PullError, Replace, StoreError};
use banger_model::{KernelName, NameError};

use super::{finish, progress_of, warn_damaged};
use crate::operation::{Cancelled, Operations};

/// Why a kernel could not be listed or pulled.
#[derive(Debug, thiserror::Error)]
pub enum KernelOperationError {
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

impl From<Cancelled> for KernelOperationError {
    fn from(_: Cancelled) -> Self {
        Self::Cancelled
    }
}

/// Everything that is done with kernels.
pub struct KernelOperations {
    images: Arc<ImageService>,
    operations: Operations,
}

impl KernelOperations {
    /// Kernels of this service.
    #[must_use]
    pub fn new(images: Arc<ImageService>, operations: Operations) -> Self {
        Self { images, operations }
    }

    /// Returns the kernels that are here and those that can be pulled, by name.
    ///
    /// # Errors
    /// [`KernelOperationError::Store`].
    pub fn list(&self) -> Result<Vec<KernelView>, KernelOperationError> {
        let listing = self.images.kernels().list().map_err(KernelOperationError::Store)?;
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

    /// Begins to pull a kernel.
    ///
    /// # Errors
    /// [`KernelOperationError::Name`], [`KernelOperationError::Pull`] when the catalog does not have it.
    pub fn pull(&self, request: &PullRequest) -> Result<OperationView, KernelOperationError> {
        let name: KernelName = request.name.parse().map_err(KernelOperationError::Name)?;
        if !self.images.available_kernels().iter().any(|entry| entry.name == name) {
            let (kind, name) = (Kind::Kernel, request.name.clone());
            return Err(KernelOperationError::Pull(PullError::NotInCatalog { kind, name }));
        }
        let (images, replace) = (Arc::clone(&self.images), Replace::when(request.force));
        Ok(self.operations.begin(OperationKind::KernelPull, &request.name, |task| {
            finish(async move {
                let progress = progress_of(&task);
                let pulled = images.pull_kernel(&name, replace, &progress);
                task.unless_cancelled(pulled).await?.map(drop).map_err(KernelOperationError::Pull)
            })
        }))
    }
}
