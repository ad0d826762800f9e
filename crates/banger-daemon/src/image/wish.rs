//! What somebody wants of images: parsed, and not yet compared with what is here.

use std::ffi::OsString;
use std::path::PathBuf;

use banger_image::{ArchiveInput, OciPull, OciSource, PlainHttp};
use banger_model::{ImageName, KernelName};

use super::error::ImageOperationError;

/// An image that somebody wants to pull.
#[derive(Clone, Debug)]
pub struct ImageWish {
    /// The source, if it is no more than a name: that of an image of the catalog, or of a container image of docker.io.
    pub bare_name: Option<ImageName>,
    /// Where a container image is.
    pub source: OciSource,
    /// File that stands for `-` in the source.
    pub input: Option<PathBuf>,
    /// What the image is called here; when absent, made of its source or of the name that an archive gives it.
    pub name: Option<ImageName>,
    /// Kernel that its VMs boot unless told otherwise.
    pub kernel: Option<KernelName>,
    /// Also when it is here already.
    pub force: bool,
    /// Which registries are asked without TLS.
    pub plain_http: PlainHttp,
    /// Directory of docker's configuration; where docker looks for it when absent.
    pub docker_directory: Option<PathBuf>,
    /// Directories where docker's credential helpers are looked for, as in `PATH`; those of the daemon when absent.
    pub search_path: Option<OsString>,
    /// Bytes that it may unpack to; what the configuration says when absent.
    pub bytes_max: Option<u64>,
}

impl ImageWish {
    /// Returns the pull that is wished for, of an image with this kernel.
    ///
    /// # Errors
    /// [`ImageOperationError`] when no name can be made of the source, or `input` and the source do not fit together.
    pub fn into_pull(self, kernel: KernelName) -> Result<OciPull, ImageOperationError> {
        let input = self.input()?;
        let is_named_by_archive = self.name.is_none() && self.source.may_name_its_image();
        let name = self.name.map_or_else(|| self.source.default_name(), Ok);
        let name = name
            .map_err(|source| ImageOperationError::NoName { source_text: self.source.to_string(), source })?;
        Ok(OciPull {
            input: input.map(ArchiveInput::at),
            is_named_by_archive,
            plain_http: self.plain_http,
            search_path: self.search_path,
            docker_directory: self.docker_directory,
            bytes_max: self.bytes_max,
            ..OciPull::of(self.source, name, kernel)
        })
    }

    /// Returns the file that stands for `-` in the source; nothing where that has a path of its own.
    pub(super) fn input(&self) -> Result<Option<PathBuf>, ImageOperationError> {
        let source_text = self.source.to_string();
        match (self.input.clone(), self.source.is_standard_input()) {
            (None, true) => Err(ImageOperationError::NoInput { source_text }),
            (Some(_), false) => Err(ImageOperationError::NeedlessInput { source_text }),
            (input, _) => Ok(input),
        }
    }

    /// Tells whether the kernel of a local image stays when the image is updated.
    pub(super) fn keeps_kernel(&self) -> bool {
        self.kernel.is_none() && !self.force
    }
}

/// Files of the host that somebody wants to register as an image.
#[derive(Clone, Debug)]
pub struct RegistrationWish {
    /// What the image is called.
    pub name: ImageName,
    /// An ext4 file system, the root of its VMs.
    pub rootfs: PathBuf,
    /// An ext4 file system, what `/root` of a new VM starts with; the root's when absent.
    pub work_seed: Option<PathBuf>,
    /// The kernel that its VMs boot.
    pub kernel: KernelWish,
    /// Also when the name is taken.
    pub force: bool,
}

/// The kernel of an image that is registered.
#[derive(Clone, Debug)]
pub enum KernelWish {
    /// One that is local or in the catalog.
    Named(KernelName),
    /// One that is imported under the image's name.
    Files {
        /// The kernel.
        kernel: PathBuf,
        /// Its initramfs.
        initrd: Option<PathBuf>,
        /// Its module tree.
        modules: Option<PathBuf>,
    },
}
