//! Files of the host as images: registered where they are, or copied.

use std::sync::Arc;

use banger_model::{ArtifactKind, ImageName};
use banger_sys::blocking::run_blocking;

use super::ImageService;
use crate::image::{Image, ImageRegistration, PromoteError, Source, copy_registered};
use crate::progress::Progress;
use crate::pull::{Build, PullError, Replace, Successor};

/// A manifest, and for a promotion the work-seed beside the copies.
const REGISTER_BYTES_NEEDED: u64 = 1 << 20;
const WORK_SEED_BYTES_NEEDED: u64 = 64 << 20;

impl ImageService {
    /// Registers files of the host as an image, where they are.
    ///
    /// # Errors
    /// [`PullError::NameTaken`] unless it may be replaced; [`PullError::NameOfCatalog`]; [`PullError::InUse`].
    pub async fn register_image(
        &self,
        registration: ImageRegistration,
        replace: Replace,
    ) -> Result<Image, PullError> {
        self.check_name(registration.name())?;
        let name = registration.name().clone();
        let failed = |source| PullError::Register { name: name.to_string(), source };
        let build: Build<'_> = Box::new(move |staged| {
            Box::pin(async move { run_blocking(move |_| registration.write(staged)).await.map_err(failed) })
        });
        self.images.import(REGISTER_BYTES_NEEDED, &name, replace, build).await
    }

    /// Refuses at once what must not be registered.
    ///
    /// # Errors
    /// As [`ImageService::register_image`].
    pub fn check_registration(
        &self,
        registration: &ImageRegistration,
        replace: Replace,
    ) -> Result<(), PullError> {
        self.check_name(registration.name())?;
        self.images.refuse_taken(registration.name(), replace)
    }

    /// Gives a registered image files of its own: copies, and a work-seed with this user's key. It stays the same image
    /// for its VMs. Dropping the future gives up.
    ///
    /// # Errors
    /// [`PullError::NotHere`]; [`PullError::Promote`], also when its files are its own already.
    pub async fn promote_image(&self, name: &ImageName, progress: &Progress) -> Result<Image, PullError> {
        let held = self.images.lock(name).await;
        let Some(image) = self.images.usable(name)? else {
            return Err(PullError::NotHere { kind: ArtifactKind::Image, name: name.to_string() });
        };
        let failed = |source| PullError::Promote { name: name.to_string(), source };
        if matches!(image.manifest.source, Source::Managed(_)) {
            return Err(failed(PromoteError::Managed { name: name.clone() }));
        }
        let bytes_needed = image.manifest.size_bytes() + WORK_SEED_BYTES_NEEDED;
        let (key, told) = (Arc::clone(&self.key), progress.clone());
        let build: Build<'_> = Box::new(move |staged| {
            Box::pin(async move {
                let copied =
                    run_blocking(move |cancelled| copy_registered(&image, staged, &key, &told, cancelled));
                copied.await.map_err(failed)
            })
        });
        self.images.make(held, bytes_needed, name, Successor::Same, build).await
    }
}
