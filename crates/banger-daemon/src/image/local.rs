//! The images that are here: showing, registering, promoting and deleting them.

use std::path::PathBuf;
use std::sync::Arc;

use banger_api::{ErrorBody, ImageDetails, OperationKind, OperationView, RegisterImage};
use banger_image::{Image, ImageRegistration, KernelImport, RegisterRequest, Replace};
use banger_model::{ImageName, KernelName};

use super::error::ImageOperationError;
use super::images::ImageOperations;
use super::view::{details, details_of_entry, view};
use super::work::{finish, progress_of, vms_where};
use crate::fault::Fault as _;

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
            return Ok(details(&image, description, vms));
        }
        let entry = entry.ok_or_else(not_found)?;
        Ok(details_of_entry(entry, vms))
    }

    /// Begins to record files of the host as an image, and to get its kernel. What can be refused by looking at it is
    /// refused at once.
    ///
    /// # Errors
    /// [`ImageOperationError`] when it makes no sense; nothing has begun then.
    pub async fn register(&self, request: RegisterImage) -> Result<OperationView, ImageOperationError> {
        let RegisterImage { name, rootfs, work_seed, kernel_ref, kernel, initrd, modules, force } = request;
        let replace = self.replace(&name, force)?;
        let kernel_files = match (kernel_ref.is_some(), kernel) {
            (true, Some(_)) => return Err(ImageOperationError::TwoKernels),
            (false, Some(kernel)) => Some(PathBuf::from(kernel)),
            (_, None) if initrd.is_some() || modules.is_some() => {
                return Err(ImageOperationError::NoKernelFile);
            }
            (true, None) => None,
            (false, None) => return Err(ImageOperationError::NoKernel),
        };
        let kernel = match (&kernel_ref, &kernel_files) {
            (_, Some(_)) => name.as_str().parse().map_err(ImageOperationError::KernelName)?,
            (kernel_ref, None) => self.kernel(kernel_ref.as_ref())?,
        };
        let (initrd, modules) = (initrd.map(PathBuf::from), modules.map(PathBuf::from));
        let request = RegisterRequest {
            name,
            rootfs: rootfs.into(),
            work_seed: work_seed.map(PathBuf::from),
            kernel: kernel.clone(),
        };
        let inspected = tokio::task::spawn_blocking(move || {
            let import = kernel_files.map(|file| KernelImport::of_files(kernel, file, initrd, modules));
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
    ) -> OperationView {
        let (images, target) = (Arc::clone(&self.images), registration.name().to_string());
        self.operations.begin(OperationKind::ImageRegister, &target, |task| async move {
            let registered = async {
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
                registered
            };
            answer(registered.await)
        })
    }

    /// Begins to give a registered image files of its own.
    ///
    /// # Errors
    /// [`ImageOperationError::NotHere`].
    pub fn promote(&self, name: &str) -> Result<OperationView, ImageOperationError> {
        let name = self.local(name)?.manifest.name;
        let images = Arc::clone(&self.images);
        Ok(self.operations.begin(OperationKind::ImagePromote, name.clone().as_str(), |task| async move {
            let promoted = async {
                let progress = progress_of(&task);
                let promoted = task.unless_cancelled(images.promote_image(&name, &progress)).await?;
                promoted.map_err(ImageOperationError::Pull)
            };
            answer(promoted.await)
        }))
    }

    /// Begins to remove an image that no VM was made from, damaged or not.
    ///
    /// # Errors
    /// [`ImageOperationError::NotHere`], [`ImageOperationError::Pull`] when VMs use it.
    pub fn delete(&self, name: &str) -> Result<OperationView, ImageOperationError> {
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

fn answer(image: Result<Image, ImageOperationError>) -> Result<serde_json::Value, ErrorBody> {
    let image = image.map_err(|error| error.to_body())?;
    serde_json::to_value(view(&image, String::new())).map_err(|error| ErrorBody::internal(&error))
}
