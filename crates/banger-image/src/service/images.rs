//! Images of the catalog, and whatever is here: pulled, held for a start, and kept with this user's key.

use std::sync::Arc;

use banger_model::{ArtifactKind, ImageName};
use banger_sys::blocking::run_blocking;

use super::{Hold, ImageService};
use crate::bundle::BundlePull;
use crate::catalog::EntrySource;
use crate::image::{Image, is_stale as is_seed_stale, refresh_work_seed};
use crate::oci::{OciPull, OciSource};
use crate::progress::Progress;
use crate::pull::{Build, PullError, Removal, Replace};

impl ImageService {
    /// Returns the image, pulled if it is not there, its files looked at, its work-seed with this user's key. Its kernel
    /// is the caller's next wish.
    ///
    /// # Errors
    /// [`PullError`].
    pub async fn ensure_image(&self, name: &ImageName, progress: &Progress) -> Result<Image, PullError> {
        let image = self.images.ensure(name, self.image_build(name, progress)).await?;
        Ok(self.with_this_key(image, progress).await)
    }

    /// As [`ImageService::ensure_image`]; and the image is neither replaced nor deleted for as long as the hold lives.
    ///
    /// # Errors
    /// As [`ImageService::ensure_image`].
    pub async fn hold_image(
        &self,
        name: &ImageName,
        progress: &Progress,
    ) -> Result<(Image, Hold), PullError> {
        loop {
            let hold = Hold(self.images.hold(name).await);
            if let Ok(Some(image)) = self.images.usable(name) {
                return Ok((self.with_this_key(image, progress).await, hold));
            }
            drop(hold);
            // Who makes it wants it alone. It may be deleted or replaced again before it is held.
            self.ensure_image(name, progress).await?;
        }
    }

    /// Pulls the image because somebody asked for it. One that is here stays, with a note, unless it may be replaced.
    ///
    /// # Errors
    /// [`PullError`].
    pub async fn pull_image(
        &self,
        name: &ImageName,
        replace: Replace,
        progress: &Progress,
    ) -> Result<Image, PullError> {
        self.images.pull(name, replace, progress, self.image_build(name, progress)).await
    }

    /// Waits until nobody pulls the image or starts a machine from it, and keeps both from happening.
    ///
    /// # Errors
    /// [`PullError::NotHere`], [`PullError::InUse`].
    pub async fn image_removal(&self, name: &ImageName) -> Result<Removal, PullError> {
        self.images.removal(name).await
    }

    /// Refuses an image that VMs need as it is.
    ///
    /// # Errors
    /// [`PullError::InUse`].
    pub fn refuse_used_image(&self, name: &ImageName) -> Result<(), PullError> {
        self.images.refuse_used(name)
    }

    /// Returns the image with a work-seed that lets this key in. That it cannot be made is no reason to fail, and that
    /// somebody else works at the image none to wait: a work disk gets the key all the same.
    pub(super) async fn with_this_key(&self, image: Image, progress: &Progress) -> Image {
        if !is_seed_stale(&image, &self.key) {
            return image;
        }
        let name = image.manifest.name.clone();
        let Some(held) = self.images.try_lock(&name) else { return image };
        // Another caller may have done it, or replaced the image.
        let current = match self.images.usable(&name) {
            Ok(Some(current)) if is_seed_stale(&current, &self.key) => current,
            Ok(Some(current)) => return current,
            Ok(None) | Err(_) => return image,
        };
        progress.stage("refresh work-seed", name.to_string());
        let key = Arc::clone(&self.key);
        let refreshed = run_blocking(move |_| {
            // Held to the end of the work, also when nobody waits for it any more.
            let _held = held;
            refresh_work_seed(current, &key)
        });
        refreshed.await.unwrap_or_else(|error| {
            tracing::warn!(image = %name, error = &error as &dyn std::error::Error, "the work-seed stays as it is");
            image
        })
    }

    pub(super) fn image_build<'a>(&'a self, name: &ImageName, progress: &'a Progress) -> Build<'a> {
        let name = name.clone();
        Box::new(move |staged| {
            Box::pin(async move {
                let name_text = name.to_string();
                let Some(entry) = self.image_catalog.iter().find(|entry| entry.name == name) else {
                    return Err(PullError::NotInCatalog { kind: ArtifactKind::Image, name: name_text });
                };
                match &entry.source {
                    EntrySource::Debian(recipe) => {
                        let built =
                            self.image_source.build(recipe, entry.facts(recipe), staged, progress).await;
                        built.map_err(|source| PullError::Image { name: name_text, source })
                    }
                    EntrySource::Bundle(bundle) => {
                        let wanted = BundlePull {
                            location: bundle.location.clone(),
                            name,
                            kernel: Some(entry.kernel.clone()),
                            sha256: Some(bundle.sha256.clone()),
                            key: bundle.key.clone(),
                            bytes_max: None,
                        };
                        self.build_bundle(&wanted, staged, progress).await
                    }
                    EntrySource::Oci(reference) => {
                        let source = OciSource::Registry(reference.clone());
                        let wanted = OciPull::of(source, name, entry.kernel.clone());
                        self.build_oci(&wanted, staged, progress).await
                    }
                }
            })
        })
    }
}
