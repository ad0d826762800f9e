//! Images as single files: pulling one, and making one.

use std::path::PathBuf;

use banger_image::{BundlePull, Image, pack_bundle};
use banger_model::{ImageName, OperationKind};

use super::error::ImageOperationError;
use super::images::ImageOperations;
use super::work::{outcome, progress_of};
use crate::facts::Outcome;
use crate::operation::OperationStatus;

impl ImageOperations {
    /// Begins to make an image of a bundle, and to get the kernel that it boots.
    ///
    /// # Errors
    /// [`ImageOperationError`] when it makes no sense; nothing has begun then.
    pub fn pull_bundle(
        &self,
        wanted: BundlePull,
        force: bool,
    ) -> Result<OperationStatus, ImageOperationError> {
        if let Some(kernel) = &wanted.kernel {
            self.kernel(Some(kernel))?;
        }
        self.images.check_bundle(&wanted).map_err(ImageOperationError::Pull)?;
        let replace = self.replace(&wanted.name, force)?;
        Ok(self.begin_pull(&wanted.name.clone(), move |images, progress| {
            Box::pin(async move { images.pull_bundle(&wanted, replace, progress).await })
        }))
    }

    /// Begins to make a bundle of a local image.
    ///
    /// # Errors
    /// [`ImageOperationError`] when there is no such image, or the path makes no sense.
    pub fn pack_bundle(&self, image: &str, output: PathBuf) -> Result<OperationStatus, ImageOperationError> {
        let image = self.local(image)?;
        let target = image.manifest.name.to_string();
        Ok(self.operations.begin(OperationKind::ImageBundle, &target, |task| {
            outcome(async move {
                let progress = progress_of(&task);
                let packed = task.unless_cancelled(pack_bundle(image, output, &progress)).await?;
                packed.map(Outcome::Bundle).map_err(ImageOperationError::Pack)
            })
        }))
    }

    /// Returns an image that is here.
    pub(super) fn local(&self, name: &str) -> Result<Image, ImageOperationError> {
        let not_here = || ImageOperationError::NotHere { name: name.to_owned() };
        // What is no name is no image's name.
        let name: ImageName = name.parse().map_err(|_error| not_here())?;
        let store = self.images.images();
        let image = store.get(&name).map_err(ImageOperationError::Store)?.ok_or_else(not_here)?;
        store.verify(&image).map_err(ImageOperationError::Store)?;
        Ok(image)
    }
}
