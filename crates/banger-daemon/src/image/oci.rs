//! Container images: pulling one, and the cache of what registries gave.

use std::path::PathBuf;
use std::sync::Arc;

use banger_image::{ImageService, OciPull, Prune, Pruned, PullError, Replace};
use banger_model::{ArtifactKind, ImageName, KernelName, OperationKind};

use super::error::ImageOperationError;
use super::images::{ImageOperations, get_kernel};
use super::wish::ImageWish;
use super::work::{finish, progress_of};
use crate::operation::OperationStatus;

impl ImageOperations {
    /// Begins to pull a container image.
    pub(super) fn pull_from_elsewhere(
        &self,
        wish: ImageWish,
    ) -> Result<OperationStatus, ImageOperationError> {
        let kernel = self.kernel(wish.kernel.as_ref())?;
        let input = wish.input()?;
        if wish.name.is_none() && wish.source.may_name_its_image() {
            return Ok(self.pull_unnamed(wish, input, kernel));
        }
        let (keeps_kernel, force) = (wish.keeps_kernel(), wish.force);
        let mut wanted = wish.into_pull(kernel)?;
        if keeps_kernel {
            wanted.kernel = kernel_of(&self.images, &wanted.name).unwrap_or(wanted.kernel);
        }
        self.images.check_oci_name(&wanted).map_err(ImageOperationError::Pull)?;
        let replace = self.replace(&wanted.name, force)?;
        Ok(self.begin_pull(&wanted.name.clone(), move |images, progress| {
            Box::pin(async move { images.pull_oci(&wanted, replace, progress).await })
        }))
    }

    /// Begins to pull an archive, whose name may be in it: the operation finds out what it is about.
    fn pull_unnamed(&self, wish: ImageWish, input: Option<PathBuf>, kernel: KernelName) -> OperationStatus {
        let images = Arc::clone(&self.images);
        let keeps_kernel = wish.keeps_kernel();
        let ImageWish { source, force, bytes_max, .. } = wish;
        let target = source.to_string();
        self.operations.begin(OperationKind::ImagePull, &target, |task| {
            finish(async move {
                let progress = progress_of(&task);
                let pulled = async {
                    let (input, name) = images.name_archive(&source, input, bytes_max, &progress).await?;
                    task.set_target(name.as_str());
                    let kept = if keeps_kernel { kernel_of(&images, &name) } else { None };
                    let kernel = kept.unwrap_or(kernel);
                    let wanted = OciPull { bytes_max, input, ..OciPull::of(source, name, kernel) };
                    if force {
                        images.refuse_used_image(&wanted.name)?;
                    }
                    let image = images.pull_oci(&wanted, Replace::when(force), &progress).await?;
                    get_kernel(&images, &image, &progress).await
                };
                task.unless_cancelled(pulled).await?.map_err(ImageOperationError::Pull)
            })
        })
    }

    /// Empties the cache of what registries gave, or tells what that would remove.
    ///
    /// # Errors
    /// [`ImageOperationError::Cache`].
    pub async fn prune_cache(&self, prune: Prune) -> Result<Pruned, ImageOperationError> {
        self.images.prune_cache(prune).await.map_err(ImageOperationError::Cache)
    }

    /// Returns the kernel that is meant. One that is neither here nor to be had is refused before anything is pulled.
    pub(super) fn kernel(&self, wanted: Option<&KernelName>) -> Result<KernelName, ImageOperationError> {
        let catalog = self.images.available_kernels();
        match wanted {
            None => {
                let first = catalog.first().map(|entry| entry.name.clone());
                first.ok_or_else(|| unknown("debian-12".to_owned()))
            }
            Some(name) => {
                let is_in_catalog = catalog.iter().any(|entry| entry.name == *name);
                let is_here = matches!(self.images.kernels().get(name), Ok(Some(_)));
                if is_in_catalog || is_here { Ok(name.clone()) } else { Err(unknown(name.to_string())) }
            }
        }
    }
}

/// Returns the kernel of a local image: an update keeps it.
fn kernel_of(images: &ImageService, name: &ImageName) -> Option<KernelName> {
    images.images().get(name).ok().flatten().map(|image| image.manifest.kernel)
}

fn unknown(name: String) -> ImageOperationError {
    ImageOperationError::Pull(PullError::NotInCatalog { kind: ArtifactKind::Kernel, name })
}
