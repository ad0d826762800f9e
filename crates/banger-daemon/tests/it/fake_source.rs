//! Kernels and images that are a few bytes, and can be told to fail or to wait.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use banger_daemon::boot_source::{BootFiles, BootSource, BootSourceError, KeptInPlace, WantedImage};
use banger_daemon::operation::OperationTask;
use banger_ext4::FormatError;
use banger_image::{DiskError, Image, PullError};
use banger_model::{ArtifactKind, ImageName, KernelName, VmSpec};
use banger_vmm::KernelFiles;
use futures::future::BoxFuture;

use crate::gate::Gate;

pub struct FakeSource {
    directory: PathBuf,
    /// Where an image is waited for.
    pub image: Gate,
    /// Where disks are made.
    pub disks: Gate,
    /// The image's.
    pub ready_ports: Mutex<Vec<u16>>,
    pub fails_at_image: AtomicBool,
    pub fails_at_disks: AtomicBool,
}

impl FakeSource {
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            image: Gate::new(),
            disks: Gate::new(),
            ready_ports: Mutex::default(),
            fails_at_image: AtomicBool::new(false),
            fails_at_disks: AtomicBool::new(false),
        }
    }

    fn files(&self, image: &ImageName, kernel: Option<&KernelName>) -> BootFiles {
        let kernel_name = kernel.cloned().unwrap_or_else(|| "debian-12".parse().unwrap());
        let manifest = serde_json::json!({
            "format_version": 2, "name": image, "id": "0", "distro": "debian", "arch": "amd64",
            "kernel": kernel_name, "source": { "managed": { "rootfs": { "sha256": "", "size": 0 }, "seeded_key": null } },
            "ready_ports": *self.ready_ports.lock().unwrap(), "init": null, "packages": [], "origin": "a test",
            "created_at": "2026-01-01T00:00:00Z",
        });
        let file = |name| self.directory.join(name);
        BootFiles {
            kernel_name,
            kernel: KernelFiles {
                vmlinuz: Some(file("vmlinuz")),
                vmlinux: file("vmlinux"),
                has_pvh_entry: true,
                initramfs: file("initramfs"),
            },
            modules: Some(file("modules.ext4")),
            kept: KeptInPlace::default(),
            rootfs: file("rootfs.ext4"),
            image: Image {
                directory: self.directory.clone(),
                manifest: serde_json::from_value(manifest).unwrap(),
            },
        }
    }
}

fn not_in_catalog(kind: ArtifactKind, name: &str) -> BootSourceError {
    BootSourceError::Pull(PullError::NotInCatalog { kind, name: name.to_owned() })
}

fn disk_full(path: &Path) -> BootSourceError {
    let full = io::Error::from(io::ErrorKind::StorageFull);
    let source = FormatError::WriteFile { path: path.to_owned(), source: full };
    BootSourceError::Disk(DiskError::Format { path: path.to_owned(), source })
}

impl BootSource for FakeSource {
    fn ensure<'a>(
        &'a self,
        image: &'a WantedImage,
        kernel: Option<&'a KernelName>,
        task: &'a OperationTask,
    ) -> BoxFuture<'a, Result<BootFiles, BootSourceError>> {
        Box::pin(async move {
            let image = match image {
                WantedImage::Named(name, _) => name,
                WantedImage::From(source, _) | WantedImage::Bare(source, _) => &source.name,
            };
            task.stage("look for image", image.as_str());
            self.image.pass().await;
            if self.fails_at_image.load(Ordering::SeqCst) {
                return Err(disk_full(&self.directory));
            }
            if !["debian-bookworm", "mine"].contains(&image.as_str()) {
                return Err(not_in_catalog(ArtifactKind::Image, image.as_str()));
            }
            if let Some(kernel) = kernel.filter(|kernel| kernel.as_str() != "debian-12") {
                return Err(not_in_catalog(ArtifactKind::Kernel, kernel.as_str()));
            }
            Ok(self.files(image, kernel))
        })
    }

    fn make_disks<'a>(
        &'a self,
        directory: &'a Path,
        _spec: &'a VmSpec,
        _files: &'a BootFiles,
    ) -> BoxFuture<'a, Result<(), BootSourceError>> {
        Box::pin(async move {
            self.disks.pass().await;
            std::fs::write(directory.join("overlay.ext4"), "overlay").unwrap();
            if self.fails_at_disks.load(Ordering::SeqCst) {
                return Err(disk_full(&directory.join("work.ext4")));
            }
            std::fs::write(directory.join("work.ext4"), "work").unwrap();
            Ok(())
        })
    }
}
