//! Images that consist of files of the host: registered where they are, and made ours when somebody asks for that.

use std::io;
use std::path::PathBuf;

use banger_ext4::{Ext4Reader, ReadError};
use banger_model::{Hint, ImageName, KernelName};
use banger_sys::blocking::Cancelled;
use banger_sys::failpoint;
use banger_sys::files::{StagedDirectory, open_regular};
use banger_sys::id::random_hex;

use crate::artifact::digest::FileRecord;
use crate::artifact::linked_file::LinkedFile;
use crate::bounded::Bounded;
use crate::formats::sparse::copy_sparse;
use crate::image::authorized_key::AuthorizedKey;
use crate::image::distro::distro_of;
use crate::image::finish::{FinishError, write_manifest};
use crate::image::home_source::HomeSource;
use crate::image::manifest::{
    HOME, Image, ImageManifest, LinkedFiles, ManagedFiles, ROOTFS, Source, WORK_SEED,
};
use crate::image::work_seed::write_work_seed;
use crate::progress::{CountingReader, Progress};

/// The architecture of every guest here, in Debian's words.
const ARCH: &str = "amd64";

/// Why files of the host do not become an image.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum RegisterError {
    #[error("`{}` is not an absolute path", path.display())]
    Relative { path: PathBuf },
    #[error("cannot use `{}`", path.display())]
    Look { path: PathBuf, source: io::Error },
    #[error("cannot use `{}`", path.display())]
    FileSystem { path: PathBuf, source: ReadError },
    #[error("`{}` is not a root file system: it has no `{missing}`", path.display())]
    NoSystem { path: PathBuf, missing: &'static str },
}

impl RegisterError {
    /// The command that helps, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<Hint> {
        match self {
            Self::FileSystem { source, .. } => {
                source.path_to_repair().map(|path| Hint::on_host(format!("e2fsck -f {}", path.display())))
            }
            Self::Relative { .. } | Self::Look { .. } | Self::NoSystem { .. } => None,
        }
    }
}

/// Why a registered image does not become ours.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum PromoteError {
    #[error("the image `{name}` already has its own files; there is nothing to promote")]
    Managed { name: ImageName },
    #[error("cannot copy `{}`", path.display())]
    Copy { path: PathBuf, source: io::Error },
    #[error("`{}` changed while it was copied; try again when nothing writes to it", path.display())]
    Changed { path: PathBuf },
    #[error("cannot finish the image")]
    Finish(#[source] FinishError),
}

/// What shall become an image.
#[derive(Clone, Debug)]
pub struct RegisterRequest {
    /// What it is called.
    pub name: ImageName,
    /// An ext4 file system in a file: the root of its VMs.
    pub rootfs: PathBuf,
    /// An ext4 file system in a file: what `/root` of a new VM starts with. None means the `/root` of the root.
    pub work_seed: Option<PathBuf>,
    /// The kernel that its VMs boot where nobody names another.
    pub kernel: KernelName,
}

/// Files of the host that were looked at and can be an image.
#[derive(Clone, Debug)]
pub struct ImageRegistration {
    name: ImageName,
    files: LinkedFiles,
    kernel: KernelName,
    distro: String,
}

impl ImageRegistration {
    /// Looks at the files. Blocks while it reads a few blocks of each.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn inspect(request: RegisterRequest) -> Result<Self, RegisterError> {
        let RegisterRequest { name, rootfs, work_seed, kernel } = request;
        let (rootfs, root) = look(rootfs)?;
        for directory in ["dev", "proc", "sys"] {
            let found = root.exists(directory.as_bytes());
            if !found.map_err(|source| RegisterError::FileSystem { path: rootfs.path.clone(), source })? {
                return Err(RegisterError::NoSystem { path: rootfs.path, missing: directory });
            }
        }
        let work_seed = work_seed.map(|path| look(path).map(|(file, _)| file)).transpose()?;
        Ok(Self { name, distro: distro_of(&root), files: LinkedFiles { rootfs, work_seed }, kernel })
    }

    /// What it will be called.
    #[must_use]
    pub fn name(&self) -> &ImageName {
        &self.name
    }

    /// Writes the record into a directory that shall be the image's.
    pub(crate) fn write(self, staged: StagedDirectory) -> Result<StagedDirectory, FinishError> {
        let Self { name, files, kernel, distro } = self;
        let origin = files.rootfs.path.display().to_string();
        let manifest = ImageManifest {
            name,
            id: random_hex::<8>(),
            distro,
            arch: ARCH.to_owned(),
            kernel,
            source: Source::Linked(files),
            ready_ports: Vec::new(),
            init: None,
            process: None,
            packages: Vec::new(),
            origin,
            created_at: jiff::Timestamp::now().to_string(),
        };
        write_manifest(&staged, &manifest)?;
        Ok(staged)
    }
}

fn look(path: PathBuf) -> Result<(LinkedFile, Ext4Reader), RegisterError> {
    if !path.is_absolute() {
        return Err(RegisterError::Relative { path });
    }
    let file = LinkedFile::look(&path);
    let file = file.map_err(|source| RegisterError::Look { path: path.clone(), source })?;
    match Ext4Reader::open(&path) {
        Ok(reader) => Ok((file, reader)),
        Err(source) => Err(RegisterError::FileSystem { path, source }),
    }
}

/// Fills a directory with copies of a registered image's files, and with a work-seed. It stays the same image: VMs that
/// were made from the files of the host go on with the copies.
pub(crate) fn copy_registered(
    image: &Image,
    staged: StagedDirectory,
    key: &AuthorizedKey,
    progress: &Progress,
    cancelled: &Cancelled,
) -> Result<StagedDirectory, PromoteError> {
    let Source::Linked(files) = &image.manifest.source else {
        return Err(PromoteError::Managed { name: image.manifest.name.clone() });
    };
    let copy = |file: &LinkedFile, name: &str, stage: &'static str| -> Result<FileRecord, PromoteError> {
        let failed = |source| PromoteError::Copy { path: file.path.clone(), source };
        let opened = open_regular(&file.path).map_err(failed)?;
        let content = CountingReader::new(
            Bounded::new(cancelled.reader(opened), file.size),
            stage,
            Some(file.size),
            progress,
        );
        let record = copy_sparse(content, &staged.path().join(name)).map_err(|error| match error.kind() {
            io::ErrorKind::FileTooLarge => PromoteError::Changed { path: file.path.clone() },
            _ => failed(error),
        })?;
        if !file.is_unchanged().map_err(failed)? {
            return Err(PromoteError::Changed { path: file.path.clone() });
        }
        Ok(record)
    };
    let rootfs = copy(&files.rootfs, ROOTFS, "copy root")?;
    let home = files.work_seed.as_ref().map(|seed| copy(seed, HOME, "copy work-seed")).transpose()?;
    failpoint::pass("image copied");
    let of_root = || HomeSource::of_root(staged.path().join(ROOTFS));
    let source = home.as_ref().map_or_else(of_root, |_| HomeSource::whole(staged.path().join(HOME)));
    let seeded = write_work_seed(&source, &staged.path().join(WORK_SEED), key);
    seeded.map_err(|source| PromoteError::Finish(FinishError::WorkSeed(source)))?;
    let files = ManagedFiles { rootfs, home, seeded_key: Some(key.fingerprint().clone()) };
    let manifest = ImageManifest { source: Source::Managed(files), ..image.manifest.clone() };
    write_manifest(&staged, &manifest).map_err(PromoteError::Finish)?;
    Ok(staged)
}

#[cfg(test)]
#[path = "registered_tests.rs"]
mod tests;
