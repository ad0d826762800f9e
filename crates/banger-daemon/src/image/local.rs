//! The images that are here: showing, registering, promoting and deleting them.

use std::sync::Arc;

use banger_image::{Image, ImageRegistration, KernelImport, RegisterRequest, Replace};
use banger_model::{ImageName, KernelName, OperationKind};

use super::error::ImageOperationError;
use super::images::ImageOperations;
use super::wish::{KernelWish, RegistrationWish};
use super::work::{finish, outcome, progress_of, vms_where};
use crate::facts::{ImageDetails, ImageFacts, Outcome};
use crate::operation::OperationStatus;

impl ImageOperations {
    /// Returns what is known of an image that is here or can be pulled.
    ///
    /// # Errors
    /// [`ImageOperationError::NotFound`], [`ImageOperationError::Store`] when it is damaged.
    pub fn show(&self, name: &str) -> Result<ImageDetails, ImageOperationError> {
        let not_found = || ImageOperationError::NotFound { name: name.to_owned() };
        // What is no name is no image's name.
        let name: ImageName = name.parse().map_err(|_error| not_found())?;
        let vms = vms_where(&self.rows, |spec| spec.image == name).map_err(ImageOperationError::Rows)?;
        let found = self.images.images().get(&name).map_err(ImageOperationError::Store)?;
        let entry = self.images.available_images().iter().find(|entry| entry.name == name);
        if let Some(image) = found {
            let description = entry.map(|entry| entry.description.clone()).unwrap_or_default();
            return Ok(ImageDetails { image: ImageFacts::Local { image, description }, vms });
        }
        let entry = entry.ok_or_else(not_found)?;
        Ok(ImageDetails { image: ImageFacts::InCatalog(entry.clone()), vms })
    }

    /// Begins to record files of the host as an image, and to get its kernel. What can be refused by looking at it is
    /// refused at once.
    ///
    /// # Errors
    /// [`ImageOperationError`] when it makes no sense; nothing has begun then.
    pub async fn register(&self, wish: RegistrationWish) -> Result<OperationStatus, ImageOperationError> {
        let RegistrationWish { name, rootfs, work_seed, kernel, force } = wish;
        let replace = self.replace(&name, force)?;
        let (kernel, kernel_files) = match kernel {
            KernelWish::Named(kernel) => (self.kernel(Some(&kernel))?, None),
            KernelWish::Files { kernel, initrd, modules } => {
                let name = name.as_str().parse().map_err(ImageOperationError::KernelName)?;
                (name, Some((kernel, initrd, modules)))
            }
        };
        let request = RegisterRequest { name, rootfs, work_seed, kernel: kernel.clone() };
        let inspected = tokio::task::spawn_blocking(move || {
            let import = kernel_files
                .map(|(file, initrd, modules)| KernelImport::of_files(kernel, file, initrd, modules));
            let import = import.transpose().map_err(ImageOperationError::KernelFiles)?;
            let registration = ImageRegistration::inspect(request).map_err(ImageOperationError::Register)?;
            Ok::<_, ImageOperationError>((import, registration))
        });
        let (import, registration) = inspected.await.map_err(ImageOperationError::Worker)??;
        self.images.check_registration(&registration, replace).map_err(ImageOperationError::Pull)?;
        if let Some(import) = &import {
            self.images.refuse_taken_kernel(import.name(), replace).map_err(ImageOperationError::Pull)?;
        }
        Ok(self.begin_register(import, registration, replace))
    }

    fn begin_register(
        &self,
        import: Option<KernelImport>,
        registration: ImageRegistration,
        replace: Replace,
    ) -> OperationStatus {
        let (images, target) = (Arc::clone(&self.images), registration.name().to_string());
        self.operations.begin(OperationKind::ImageRegister, &target, |task| {
            outcome(async move {
                let progress = progress_of(&task);
                let imported = match import {
                    Some(import) => {
                        let imported = images.import_kernel(import, replace, &progress);
                        Some(task.unless_cancelled(imported).await?.map_err(ImageOperationError::Pull)?)
                    }
                    None => None,
                };
                task.stage("register image", "");
                let registered = async {
                    let image = images.register_image(registration, replace).await?;
                    let kernel = &image.manifest.kernel;
                    // One that was named may still have to be pulled.
                    if !images.kernels().place(kernel).exists() {
                        images.ensure_kernel(kernel, &progress).await?;
                    }
                    Ok(image)
                };
                let registered = match task.unless_cancelled(registered).await {
                    Ok(registered) => registered.map_err(ImageOperationError::Pull),
                    Err(cancelled) => Err(cancelled.into()),
                };
                if let (Err(_), Some(kernel), Replace::Never) = (&registered, imported, replace) {
                    // Nobody has heard of a kernel that came for this image only.
                    remove_kernel(&images, &kernel.manifest.name).await;
                }
                registered.map(local)
            })
        })
    }

    /// Begins to give a registered image files of its own.
    ///
    /// # Errors
    /// [`ImageOperationError::NotHere`].
    pub fn promote(&self, name: &str) -> Result<OperationStatus, ImageOperationError> {
        let name = self.local(name)?.manifest.name;
        let images = Arc::clone(&self.images);
        Ok(self.operations.begin(OperationKind::ImagePromote, name.clone().as_str(), |task| {
            outcome(async move {
                let progress = progress_of(&task);
                let promoted = task.unless_cancelled(images.promote_image(&name, &progress)).await?;
                promoted.map(local).map_err(ImageOperationError::Pull)
            })
        }))
    }

    /// Begins to remove an image that no VM was made from, damaged or not.
    ///
    /// # Errors
    /// [`ImageOperationError::NotHere`], [`ImageOperationError::Pull`] when VMs use it.
    pub fn delete(&self, name: &str) -> Result<OperationStatus, ImageOperationError> {
        let not_here = || ImageOperationError::NotHere { name: name.to_owned() };
        let name: ImageName = name.parse().map_err(|_error| not_here())?;
        if !self.images.images().place(&name).exists() {
            return Err(not_here());
        }
        self.images.refuse_used_image(&name).map_err(ImageOperationError::Pull)?;
        let images = Arc::clone(&self.images);
        Ok(self.operations.begin(OperationKind::ImageDelete, name.clone().as_str(), |task| {
            finish(async move {
                let removal = task.unless_cancelled(images.image_removal(&name)).await?;
                let removal = removal.map_err(ImageOperationError::Pull)?;
                task.stage("remove image", name.as_str());
                removal.remove().await.map_err(ImageOperationError::Pull)
            })
        }))
    }

    /// Returns what `--force` means for an image; one that VMs use is refused at once.
    pub(super) fn replace(&self, name: &ImageName, force: bool) -> Result<Replace, ImageOperationError> {
        if force {
            self.images.refuse_used_image(name).map_err(ImageOperationError::Pull)?;
        }
        Ok(Replace::when(force))
    }
}

async fn remove_kernel(images: &banger_image::ImageService, name: &KernelName) {
    let removed = async { images.kernel_removal(name).await?.remove().await };
    if let Err(error) = removed.await {
        tracing::warn!(kernel = %name, %error, "the kernel of an image that was not registered stays");
    }
}

fn local(image: Image) -> Outcome {
    Outcome::Image(Box::new(ImageFacts::Local { image, description: String::new() }))
}
