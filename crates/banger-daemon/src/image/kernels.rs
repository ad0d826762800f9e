//! Everything that is done with kernels, as operations and views.

use std::collections::BTreeMap;
use std::sync::Arc;

use banger_image::{
    ImageService, ImportError, ImportRequest, Kernel, KernelEntry, KernelImport, PullError, Replace,
    StoreError,
};
use banger_model::{ArtifactKind, ImageName, KernelName, NameError, OperationKind, VmName};
use banger_store::Store;

use super::work::{finish, outcome, progress_of, vms_where, warn_damaged};
use crate::facts::{CatalogKernel, KernelDetails, KernelFacts, Outcome};
use crate::operation::{Cancelled, OperationStatus, Operations};

/// Why something could not be done with a kernel.
#[derive(Debug, thiserror::Error)]
pub enum KernelOperationError {
    /// The name makes no sense.
    #[error(transparent)]
    Name(NameError),
    /// There is no such kernel, here or in the catalog.
    #[error("there is no kernel `{name}`")]
    NotFound {
        /// Its name.
        name: KernelName,
    },
    /// Images boot it.
    #[error("the kernel `{name}` is needed by {}", list(images))]
    NeededByImages {
        /// Its name.
        name: KernelName,
        /// Which.
        images: Vec<ImageName>,
    },
    /// What shall be imported cannot be.
    #[error(transparent)]
    Refused(ImportError),
    /// Pulling, importing or removing failed.
    #[error(transparent)]
    Pull(PullError),
    /// What is here cannot be read.
    #[error(transparent)]
    Store(StoreError),
    /// Who uses it cannot be read.
    #[error(transparent)]
    Rows(banger_store::StoreError),
    /// The thread that looked at the files died.
    #[error("the work on the kernel's files ended unexpectedly")]
    Worker(#[source] tokio::task::JoinError),
    /// It was to stop before its end.
    #[error("{0}; nothing is left behind")]
    Cancelled(Cancelled),
}

/// Maximum number of images that a sentence names.
const NAMED_MAX: usize = 5;

/// Returns images as a sentence has them.
fn list(images: &[ImageName]) -> String {
    let quoted: Vec<_> = images.iter().take(NAMED_MAX).map(|image| format!("`{image}`")).collect();
    let names = quoted.join(", ");
    match images.len().saturating_sub(NAMED_MAX) {
        0 if images.len() == 1 => format!("image {names}"),
        0 => format!("images {names}"),
        more => format!("images {names} and {more} more"),
    }
}

impl From<Cancelled> for KernelOperationError {
    fn from(why: Cancelled) -> Self {
        Self::Cancelled(why)
    }
}

/// Everything that is done with kernels.
pub struct KernelOperations {
    images: Arc<ImageService>,
    rows: Arc<Store>,
    operations: Operations,
}

impl KernelOperations {
    /// Kernels of this service, used by the VMs of these rows.
    #[must_use]
    pub fn new(images: Arc<ImageService>, rows: Arc<Store>, operations: Operations) -> Self {
        Self { images, rows, operations }
    }

    /// Returns the kernels that are here and those that can be pulled, by name.
    ///
    /// # Errors
    /// [`KernelOperationError::Store`].
    pub fn list(&self) -> Result<Vec<KernelFacts>, KernelOperationError> {
        let listing = self.images.kernels().list().map_err(KernelOperationError::Store)?;
        warn_damaged(&listing.damaged);
        let catalog = self.images.available_kernels().iter().cloned().map(KernelFacts::InCatalog);
        let local = listing.found.into_iter().map(|kernel| self.local(kernel));
        // A local one takes the place of the one in the catalog.
        let by_name = catalog.chain(local).map(|kernel| (kernel.name().clone(), kernel));
        Ok(by_name.collect::<BTreeMap<_, _>>().into_values().collect())
    }

    /// Returns what is known of a kernel that is here or can be pulled.
    ///
    /// # Errors
    /// [`KernelOperationError::NotFound`], [`KernelOperationError::Store`] when it is damaged.
    pub fn show(&self, name: &str) -> Result<KernelDetails, KernelOperationError> {
        let name: KernelName = name.parse().map_err(KernelOperationError::Name)?;
        let (vms, images) = (self.vms_with(&name)?, self.images_with(&name)?);
        let kernel = match self.images.kernels().get(&name).map_err(KernelOperationError::Store)? {
            Some(kernel) => self.local(kernel),
            None => match self.entry(&name) {
                Some(entry) => KernelFacts::InCatalog(entry.clone()),
                None => return Err(KernelOperationError::NotFound { name }),
            },
        };
        Ok(KernelDetails { kernel, vms, images })
    }

    /// Returns the kernels that can be pulled, by name.
    #[must_use]
    pub fn catalog(&self) -> Vec<CatalogKernel> {
        let entry = |entry: &KernelEntry| CatalogKernel {
            is_pulled: self.images.kernels().place(&entry.name).exists(),
            entry: entry.clone(),
        };
        self.images.available_kernels().iter().map(entry).collect()
    }

    /// Begins to pull a kernel.
    ///
    /// # Errors
    /// [`KernelOperationError::Pull`] when the catalog does not have it.
    pub fn pull(&self, name: KernelName, replace: Replace) -> Result<OperationStatus, KernelOperationError> {
        let Some(entry) = self.entry(&name) else {
            let (kind, name) = (ArtifactKind::Kernel, name.to_string());
            return Err(KernelOperationError::Pull(PullError::NotInCatalog { kind, name }));
        };
        let description = entry.description.clone();
        let images = Arc::clone(&self.images);
        Ok(self.operations.begin(OperationKind::KernelPull, name.clone().as_str(), |task| {
            outcome(async move {
                let progress = progress_of(&task);
                let pulled = task.unless_cancelled(images.pull_kernel(&name, replace, &progress)).await?;
                pulled.map(|kernel| local(kernel, description)).map_err(KernelOperationError::Pull)
            })
        }))
    }

    /// Begins to import a kernel. What can be refused by looking at it is refused at once.
    ///
    /// # Errors
    /// [`KernelOperationError::Refused`], [`KernelOperationError::Pull`] when the name is taken.
    pub async fn import(
        &self,
        request: ImportRequest,
        replace: Replace,
    ) -> Result<OperationStatus, KernelOperationError> {
        let inspected = tokio::task::spawn_blocking(move || KernelImport::inspect(request)).await;
        let import =
            inspected.map_err(KernelOperationError::Worker)?.map_err(KernelOperationError::Refused)?;
        self.images.refuse_taken_kernel(import.name(), replace).map_err(KernelOperationError::Pull)?;
        let (images, target) = (Arc::clone(&self.images), import.name().to_string());
        Ok(self.operations.begin(OperationKind::KernelImport, &target, |task| {
            outcome(async move {
                let progress = progress_of(&task);
                let imported =
                    task.unless_cancelled(images.import_kernel(import, replace, &progress)).await?;
                imported.map(|kernel| local(kernel, String::new())).map_err(KernelOperationError::Pull)
            })
        }))
    }

    /// Begins to remove a kernel that no VM uses. One that images need is only removed by `force`: a start of one of them
    /// pulls it again, or fails if it was imported.
    ///
    /// # Errors
    /// [`KernelOperationError::Pull`] when VMs use it, [`KernelOperationError::NeededByImages`].
    pub fn delete(&self, name: &str, force: bool) -> Result<OperationStatus, KernelOperationError> {
        let name: KernelName = name.parse().map_err(KernelOperationError::Name)?;
        self.images.refuse_used_kernel(&name).map_err(KernelOperationError::Pull)?;
        if !force && self.images.kernels().place(&name).exists() {
            let images = self.images_with(&name)?;
            if !images.is_empty() {
                return Err(KernelOperationError::NeededByImages { name, images });
            }
        }
        let images = Arc::clone(&self.images);
        Ok(self.operations.begin(OperationKind::KernelDelete, name.clone().as_str(), |task| {
            finish(async move {
                let removal = task.unless_cancelled(images.kernel_removal(&name)).await?;
                let removal = removal.map_err(KernelOperationError::Pull)?;
                task.stage("remove kernel", name.as_str());
                removal.remove().await.map_err(KernelOperationError::Pull)
            })
        }))
    }

    fn entry(&self, name: &KernelName) -> Option<&KernelEntry> {
        self.images.available_kernels().iter().find(|entry| entry.name == *name)
    }

    fn local(&self, kernel: Kernel) -> KernelFacts {
        let entry = self.entry(&kernel.manifest.name);
        let description = entry.map(|entry| entry.description.clone()).unwrap_or_default();
        KernelFacts::Local { kernel, description }
    }

    fn vms_with(&self, name: &KernelName) -> Result<Vec<VmName>, KernelOperationError> {
        vms_where(&self.rows, |spec| spec.kernel == *name).map_err(KernelOperationError::Rows)
    }

    fn images_with(&self, name: &KernelName) -> Result<Vec<ImageName>, KernelOperationError> {
        let listing = self.images.images().list().map_err(KernelOperationError::Store)?;
        let images = listing.found.into_iter().map(|image| image.manifest);
        Ok(images.filter(|image| image.kernel == *name).map(|image| image.name).collect())
    }
}

fn local(kernel: Kernel, description: String) -> Outcome {
    Outcome::Kernel(Box::new(KernelFacts::Local { kernel, description }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_many_images_need_names_a_few_of_them() {
        let images: Vec<ImageName> = (1..=1000).map(|number| format!("i{number}").parse().unwrap()).collect();
        let told = |number| list(&images[..number]);
        assert_eq!(told(1), "image `i1`");
        assert_eq!(told(2), "images `i1`, `i2`");
        assert_eq!(told(5), "images `i1`, `i2`, `i3`, `i4`, `i5`");
        assert_eq!(told(1000), "images `i1`, `i2`, `i3`, `i4`, `i5` and 995 more");
    }
}
