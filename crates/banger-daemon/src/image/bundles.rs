//! Images as single files: pulling one, and making one.

use banger_api::{BundleView, ErrorBody, OperationKind, OperationView, PackBundle, PullBundle};
use banger_image::{BundleLocation, BundlePull, Image, pack_bundle};
use banger_model::ImageName;

use super::error::ImageOperationError;
use super::images::ImageOperations;
use super::work::progress_of;
use crate::fault::Fault as _;

impl ImageOperations {
    /// Begins to make an image of a bundle, and to get the kernel that it boots.
    ///
    /// # Errors
    /// [`ImageOperationError`] when it makes no sense; nothing has begun then.
    pub fn pull_bundle(&self, request: &PullBundle) -> Result<OperationView, ImageOperationError> {
        let wanted = self.parse_bundle(request)?;
        self.images.check_bundle(&wanted).map_err(ImageOperationError::Pull)?;
        let replace = self.replace(&wanted.name, request.force)?;
        Ok(self.begin_pull(&wanted.name.clone(), move |images, progress| {
            Box::pin(async move { images.pull_bundle(&wanted, replace, progress).await })
        }))
    }

    /// Begins to make a bundle of a local image.
    ///
    /// # Errors
    /// [`ImageOperationError`] when there is no such image, or the path makes no sense.
    pub fn pack_bundle(
        &self,
        image: &str,
        request: PackBundle,
    ) -> Result<OperationView, ImageOperationError> {
        let image = self.local(image)?;
        let output = request.output.into();
        let target = image.manifest.name.to_string();
        Ok(self.operations.begin(OperationKind::ImageBundle, &target, |task| async move {
            let progress = progress_of(&task);
            let packed = async {
                let packed = task.unless_cancelled(pack_bundle(image, output, &progress)).await?;
                packed.map_err(ImageOperationError::Pack)
            };
            let packed = packed.await.map_err(|error| error.to_body())?;
            let view = BundleView {
                path: packed.path.display().to_string(),
                size_bytes: packed.record.size,
                sha256: packed.record.sha256.parse().map_err(|error| ErrorBody::internal(&error))?,
            };
            serde_json::to_value(view).map_err(|error| ErrorBody::internal(&error))
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

    fn parse_bundle(&self, request: &PullBundle) -> Result<BundlePull, ImageOperationError> {
        let location: BundleLocation = request.location.parse().map_err(ImageOperationError::Location)?;
        let name = match &request.name {
            Some(name) => name.clone(),
            None => location.stem().parse().map_err(|source| ImageOperationError::NoName {
                source_text: format!("--bundle {location}"),
                source,
            })?,
        };
        let key = request.minisign_key.as_ref().map(|key| key.parse()).transpose();
        Ok(BundlePull {
            location,
            name,
            kernel: request.kernel.as_ref().map(|kernel| self.kernel(Some(kernel))).transpose()?,
            sha256: request.sha256.clone(),
            key: key.map_err(ImageOperationError::MinisignKey)?,
            bytes_max: request.max_bytes,
        })
    }
}
