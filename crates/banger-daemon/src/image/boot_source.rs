//! The image service as the source of what VMs boot from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use banger_image::{
    AuthorizedKey, Hold, ImageService, Kernel, OciPull, Progress, PullError, PullRules, StoreError,
    make_overlay_disk, make_work_disk, registry_reference,
};
use banger_model::{ArtifactKind, ImageName, KernelName, PullPolicy, VmSpec};
use banger_store::Store;
use banger_sys::paths::Paths;
use banger_vmm::KernelFiles;
use futures::future::BoxFuture;

use super::kernel_check::KernelCheck;
use super::work::{progress_of, vms_where};
use crate::boot_source::{
    BootFiles, BootSource, BootSourceError, KeptInPlace, OVERLAY_DISK, PullBareError, WORK_DISK, WantedImage,
};
use crate::operation::OperationTask;
use crate::program::RunningProgram;

/// Name of the guest's program beside ours.
const AGENT_PROGRAM: &str = "banger-agent";

/// Kernels, images and disks of this state directory.
#[derive(Debug)]
pub struct ImageBootSource {
    images: Arc<ImageService>,
    agent: PathBuf,
    key: AuthorizedKey,
    kernel_check: Arc<KernelCheck>,
}

impl ImageBootSource {
    /// The source for these directories, with the agent that stands beside this program. Every guest lets the key in.
    /// Kernels and images stay while one of the rows is of a VM that uses them.
    #[must_use]
    pub fn new(
        paths: &Paths,
        program: &RunningProgram,
        key: AuthorizedKey,
        rows: Arc<Store>,
        pulls: PullRules,
    ) -> Self {
        let agent = find_agent(&program.directory());
        let mut images = ImageService::new(paths, agent.clone(), key.clone());
        images.set_rules(pulls);
        let rows_of_kernels = Arc::clone(&rows);
        images.keep_for(
            Arc::new(move |kernel| Ok(vms_where(&rows_of_kernels, |spec| spec.kernel == *kernel)?)),
            Arc::new(move |image| Ok(vms_where(&rows, |spec| spec.image == *image)?)),
        );
        Self { images: Arc::new(images), agent, key, kernel_check: Arc::default() }
    }

    /// The image service.
    #[must_use]
    pub fn images(&self) -> Arc<ImageService> {
        Arc::clone(&self.images)
    }

    /// Where the guest's program is, or should be.
    #[must_use]
    pub fn agent(&self) -> PathBuf {
        self.agent.clone()
    }

    /// Returns the kernel, looked at, and what keeps it in its place.
    async fn kernel(
        &self,
        name: &KernelName,
        progress: &Progress,
    ) -> Result<(Kernel, Hold), BootSourceError> {
        let found = self.images.hold_kernel(name, progress).await;
        let (kernel, hold) = found.map_err(BootSourceError::Pull)?;
        let checked = self.check(&kernel).await?;
        checked.map(|()| (kernel, hold)).map_err(|source| {
            let (kind, name) = (ArtifactKind::Kernel, name.to_string());
            BootSourceError::Pull(PullError::Local { kind, name, source })
        })
    }

    /// Returns whether a bare name is that of an image of the catalog or of a local one. A local one that is to be pulled
    /// again came from a registry.
    fn is_known(&self, name: &ImageName, when: PullPolicy) -> bool {
        let is_local = || !matches!(self.images.images().get(name), Ok(None));
        self.is_in_catalog(name) || (when != PullPolicy::Always && is_local())
    }

    /// Returns the pull of a local image that is to be pulled again: from its own registry, which need not be docker.io.
    fn own_source(&self, source: &OciPull, when: PullPolicy) -> Option<OciPull> {
        match when {
            PullPolicy::Always => {
                from_origin(source, &self.images.images().get(&source.name).ok()??.manifest.origin)
            }
            PullPolicy::Missing | PullPolicy::Never => None,
        }
    }

    /// Tells whether the catalog has an image of this name.
    pub(crate) fn is_in_catalog(&self, name: &ImageName) -> bool {
        self.images.available_images().iter().any(|entry| entry.name == *name)
    }

    async fn check(&self, kernel: &Kernel) -> Result<Result<(), StoreError>, BootSourceError> {
        let (check, kernel) = (Arc::clone(&self.kernel_check), kernel.clone());
        let checked = tokio::task::spawn_blocking(move || check.check(&kernel));
        checked.await.map_err(BootSourceError::Worker)
    }

    /// Tells whether an image is here.
    ///
    /// # Errors
    /// [`StoreError`] when it is here and damaged.
    pub fn has_image(&self, name: &ImageName) -> Result<bool, StoreError> {
        match self.images.images().get(name)? {
            Some(image) => self.images.images().verify(&image).map(|()| true),
            None => Ok(false),
        }
    }
}

impl BootSource for ImageBootSource {
    fn ensure<'a>(
        &'a self,
        image: &'a WantedImage,
        kernel: Option<&'a KernelName>,
        task: &'a OperationTask,
    ) -> BoxFuture<'a, Result<BootFiles, BootSourceError>> {
        Box::pin(async move {
            if !self.agent.is_file() {
                return Err(BootSourceError::AgentMissing { path: self.agent.clone() });
            }
            let progress = progress_of(task);
            let held = match image {
                WantedImage::Named(name, when) => self.images.hold_image_when(name, *when, &progress).await,
                WantedImage::From(source, when) => self.images.hold_oci(source, *when, &progress).await,
                WantedImage::Bare(source, when) if self.is_known(&source.name, *when) => {
                    self.images.hold_image_when(&source.name, *when, &progress).await
                }
                WantedImage::Bare(source, when) => {
                    let own = self.own_source(source, *when);
                    let held = self.images.hold_oci(own.as_ref().unwrap_or(source), *when, &progress).await;
                    Ok(held.map_err(|error| match image.refusal(error) {
                        BootSourceError::Pull(error) if own.is_none() => {
                            BootSourceError::PullBare(PullBareError {
                                name: source.name.clone(),
                                source: error,
                            })
                        }
                        other => other,
                    })?)
                }
            };
            let (image, image_hold) = held.map_err(|error| image.refusal(error))?;
            let kernel_name = kernel.unwrap_or(&image.manifest.kernel);
            let (kernel, kernel_hold) = self.kernel(kernel_name, &progress).await?;
            Ok(BootFiles {
                kernel_name: kernel_name.clone(),
                kernel: KernelFiles {
                    vmlinuz: kernel.vmlinuz(),
                    vmlinux: kernel.vmlinux(),
                    has_pvh_entry: kernel.manifest.has_pvh_entry,
                    initramfs: kernel.initramfs(),
                },
                modules: kernel.modules_drive(),
                kept: KeptInPlace::new([image_hold, kernel_hold]),
                rootfs: image.rootfs(),
                image,
            })
        })
    }

    fn make_disks<'a>(
        &'a self,
        directory: &'a Path,
        spec: &'a VmSpec,
        files: &'a BootFiles,
    ) -> BoxFuture<'a, Result<(), BootSourceError>> {
        let overlay = directory.join(OVERLAY_DISK);
        let work = directory.join(WORK_DISK);
        let (overlay_size, work_size) = (spec.overlay_disk, spec.work_disk);
        let (image, key) = (files.image.clone(), self.key.clone());
        Box::pin(async move {
            // A few milliseconds of file system work; a cancelled create removes the whole directory.
            let made = tokio::task::spawn_blocking(move || {
                make_work_disk(&work, work_size, &image, &key)?;
                make_overlay_disk(&overlay, overlay_size)
            });
            made.await.map_err(BootSourceError::Worker)?.map_err(BootSourceError::Disk)
        })
    }
}

/// Returns the pull from where an image with this origin came from; `None` if that was not a registry.
fn from_origin(pull: &OciPull, origin: &str) -> Option<OciPull> {
    let source = registry_reference(origin)?.parse().ok()?;
    Some(OciPull { source, ..pull.clone() })
}

fn find_agent(directory: &Path) -> PathBuf {
    if let Some(path) = std::env::var_os("BANGER_AGENT") {
        return path.into();
    }
    let beside = directory.join(AGENT_PROGRAM);
    let installed = directory.join("../lib/banger").join(AGENT_PROGRAM);
    if !beside.is_file() && installed.is_file() { installed } else { beside }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_pulled_again_from_the_registry_that_it_came_from() {
        let name = || "app".parse().unwrap();
        let pull =
            OciPull::of("docker.io/library/app".parse().unwrap(), name(), "debian-12".parse().unwrap());
        let digest = "sha256:0123456789012345678901234567890123456789012345678901234567890123";
        let again = |origin: &str| from_origin(&pull, origin).map(|pull| pull.source.to_string());
        let own = "registry.example:5000/team/app:v1";
        assert_eq!(again(&format!("{own} ({digest})")).as_deref(), Some(own));
        assert_eq!(again(&format!("docker-archive:/tmp/app.tar ({digest})")), None);
        assert_eq!(again("packages of Debian"), None);
    }

    #[test]
    fn the_agent_stands_beside_the_program_or_in_its_library_directory() {
        let prefix = tempfile::tempdir().unwrap();
        let bin = prefix.path().join("bin");
        let library = prefix.path().join("lib/banger");
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::create_dir_all(&library).unwrap();
        assert_eq!(find_agent(&bin), bin.join("banger-agent"));
        std::fs::write(library.join("banger-agent"), "").unwrap();
        assert_eq!(find_agent(&bin), bin.join("../lib/banger/banger-agent"));
        std::fs::write(bin.join("banger-agent"), "").unwrap();
        assert_eq!(find_agent(&bin), bin.join("banger-agent"));
    }
}
