//! Images from bundles.

use banger_model::KernelName;
use banger_sys::files::StagedDirectory;

use super::ImageService;
use crate::bundle::{BundlePull, BundlePullError};
use crate::image::Image;
use crate::progress::Progress;
use crate::pull::{Build, PullError, Replace};

/// A bundle's size is not known before it comes.
const BUNDLE_BYTES_NEEDED: u64 = 256 << 20;

impl ImageService {
    /// Makes an image out of a bundle. Dropping the future gives up.
    ///
    /// # Errors
    /// As [`ImageService::check_bundle`]; [`PullError::NameTaken`] unless it may be replaced.
    pub async fn pull_bundle(
        &self,
        wanted: &BundlePull,
        replace: Replace,
        progress: &Progress,
    ) -> Result<Image, PullError> {
        self.check_bundle(wanted)?;
        let build: Build<'_> = Box::new(move |staged| Box::pin(self.build_bundle(wanted, staged, progress)));
        self.images.import(BUNDLE_BYTES_NEEDED, &wanted.name, replace, build).await
    }

    /// Refuses a bundle at once that must not be pulled.
    ///
    /// # Errors
    /// [`PullError::NameOfCatalog`], [`PullError::Bundle`].
    pub fn check_bundle(&self, wanted: &BundlePull) -> Result<(), PullError> {
        self.check_name(&wanted.name)?;
        wanted.check().map_err(|error| of_bundle(wanted, error))
    }

    pub(super) async fn build_bundle(
        &self,
        wanted: &BundlePull,
        staged: StagedDirectory,
        progress: &Progress,
    ) -> Result<StagedDirectory, PullError> {
        let is_known = |kernel: &KernelName| {
            let catalog = self.kernel_catalog.iter().any(|entry| entry.name == *kernel);
            catalog || matches!(self.kernels.store.get(kernel), Ok(Some(_)))
        };
        let built = self.bundles.build(wanted, is_known, staged, progress).await;
        built.map_err(|error| of_bundle(wanted, error))
    }
}

fn of_bundle(wanted: &BundlePull, error: BundlePullError) -> PullError {
    PullError::Bundle { name: wanted.name.to_string(), source: Box::new(error) }
}
