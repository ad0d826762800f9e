//! What a directory has for a boot stack: the parts that a kernel's build gives, or a kernel of banger's as it is kept.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::ImportError;
use super::part_names::{CONFIG, INITRD, MODULES};
use crate::artifact::{MANIFEST_FILE, Manifest as _};
use crate::bounded::{read_file, read_text};
use crate::kernel::bzimage;
use crate::kernel::config::CONFIG_BYTES_MAX;
use crate::kernel::elf::ElfKernel;
use crate::kernel::manifest::{INITRAMFS, KernelManifest, VMLINUX, VMLINUZ};
use crate::kernel::stack::KernelImage;
use banger_sys::files::open_regular;

const MANIFEST_BYTES_MAX: u64 = 1 << 20;
/// Where `make modules_install` puts the modules of a release, below the directory that it is given.
const INSTALLED: [&str; 2] = ["lib/modules", "usr/lib/modules"];

/// What was found.
#[derive(Clone, Debug)]
pub(super) enum Found {
    /// A kernel of banger's.
    Own(Box<KernelManifest>),
    /// Parts.
    Plain(PlainParts),
}

/// A kernel's parts.
#[derive(Clone, Debug)]
pub(super) struct PlainParts {
    pub(super) image: KernelImage,
    pub(super) release: String,
    pub(super) modules: Option<PathBuf>,
    /// An initramfs that lies beside them and is not used.
    pub(super) initramfs: Option<PathBuf>,
    /// When the kernel was made, in Unix seconds.
    pub(super) built_at: i64,
    /// The configuration that lies beside it.
    pub(super) config: Option<String>,
}

/// Looks what is in a directory.
pub(super) fn find_parts(directory: &Path) -> Result<Found, ImportError> {
    if let Some(path) = plain_file(directory, MANIFEST_FILE)? {
        return read_manifest(&path).map(|manifest| Found::Own(Box::new(manifest)));
    }
    let image = match (plain_file(directory, VMLINUZ)?, plain_file(directory, VMLINUX)?) {
        (Some(compressed), Some(elf)) => KernelImage::Both { compressed, elf },
        (Some(elf), None) if is_elf(&elf)? => KernelImage::Elf(elf),
        (Some(compressed), None) => KernelImage::Compressed(compressed),
        (None, Some(elf)) => KernelImage::Elf(elf),
        (None, None) => return Err(ImportError::NoKernel { path: directory.to_owned() }),
    };
    let (release, built_at) = look_at(&image)?;
    let modules = find_modules(directory, &release)?;
    let initramfs = match plain_file(directory, INITRAMFS)? {
        Some(path) => Some(path),
        None => plain_file(directory, INITRD)?,
    };
    let config = config_beside(&directory.join(VMLINUX), &release);
    Ok(Found::Plain(PlainParts { image, release, modules, initramfs, built_at, config }))
}

/// Looks at a kernel, ELF or compressed, and at what goes with it.
pub(super) fn plain_parts(
    kernel: PathBuf,
    initramfs: Option<PathBuf>,
    modules: Option<PathBuf>,
) -> Result<PlainParts, ImportError> {
    let read = |path: &Path| {
        let path = path.to_owned();
        move |source| ImportError::Read { path, source }
    };
    if let Some(path) = &initramfs {
        fs::metadata(path).map_err(read(path))?;
    }
    let beside = kernel.clone();
    let image = if is_elf(&kernel)? { KernelImage::Elf(kernel) } else { KernelImage::Compressed(kernel) };
    let (release, built_at) = look_at(&image)?;
    let modules = modules.map(|path| {
        fs::metadata(&path).map_err(read(&path))?;
        let tree = [path.join(&release), path.clone()].into_iter().find(|tree| is_tree(tree));
        tree.ok_or_else(|| ImportError::NoModules { path, release: release.clone() })
    });
    let modules = modules.transpose()?;
    let config = config_beside(&beside, &release);
    Ok(PlainParts { image, release, modules, initramfs, built_at, config })
}

/// Returns the configuration that lies beside a kernel. Links are not followed, and what is no text says nothing.
pub(super) fn config_beside(kernel: &Path, release: &str) -> Option<String> {
    let directory = kernel.parent()?;
    let names = [format!("config-{release}"), CONFIG.to_owned()];
    let path = names.iter().find_map(|name| plain_file(directory, name).ok().flatten())?;
    read_text(&path, CONFIG_BYTES_MAX).ok()
}

/// Returns a kernel's release and its time.
pub(super) fn look_at(image: &KernelImage) -> Result<(String, i64), ImportError> {
    let path = match image {
        KernelImage::Compressed(path)
        | KernelImage::Elf(path)
        | KernelImage::Both { compressed: path, .. } => path,
    };
    let read = |source| ImportError::Read { path: path.clone(), source };
    let built_at = fs::metadata(path).map_err(read)?.mtime();
    let release = match image {
        KernelImage::Compressed(_) | KernelImage::Both { .. } => {
            let mut setup = Vec::new();
            let limit = bzimage::SETUP_BYTES_MAX as u64;
            open_regular(path).and_then(|file| file.take(limit).read_to_end(&mut setup)).map_err(read)?;
            bzimage::release(&setup).map_err(|source| ImportError::Vmlinuz { path: path.clone(), source })?
        }
        KernelImage::Elf(_) => {
            let kernel = ElfKernel::inspect(path);
            kernel.map_err(|source| ImportError::Vmlinux { path: path.clone(), source })?.release
        }
    };
    Ok((release, built_at))
}

/// Returns a file of the directory, when it is there. Links are refused: what they lead to was not given.
pub(super) fn plain_file(directory: &Path, name: &str) -> Result<Option<PathBuf>, ImportError> {
    let path = directory.join(name);
    match fs::symlink_metadata(&path) {
        Ok(found) if found.is_file() => Ok(Some(path)),
        Ok(_) => Err(ImportError::NoFile { path }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ImportError::Read { path, source }),
    }
}

/// Tells whether `below` is a directory of `directory` to which no link leads.
pub(super) fn is_plain_directory(directory: &Path, below: &Path) -> bool {
    let mut path = directory.to_owned();
    below.components().all(|component| {
        path.push(component);
        fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir())
    })
}

fn find_modules(directory: &Path, release: &str) -> Result<Option<PathBuf>, ImportError> {
    let modules = Path::new(MODULES);
    if is_plain_directory(directory, modules) {
        let candidates = [modules.join(release), modules.to_owned()];
        let tree = candidates.into_iter().find(|tree| is_tree(&directory.join(tree)));
        let path = directory.join(modules);
        return match tree {
            Some(tree) => Ok(Some(directory.join(tree))),
            None => Err(ImportError::NoModules { path, release: release.to_owned() }),
        };
    }
    let installed = INSTALLED.iter().map(|place| Path::new(place).join(release));
    let tree = installed.into_iter().find(|tree| is_plain_directory(directory, tree));
    Ok(tree.map(|tree| directory.join(tree)))
}

/// Tells whether a directory is the module tree of one release.
fn is_tree(path: &Path) -> bool {
    ["modules.builtin", "modules.order", "modules.dep", "kernel"].iter().any(|name| path.join(name).exists())
}

fn is_elf(path: &Path) -> Result<bool, ImportError> {
    let mut magic = Vec::new();
    let read = open_regular(path).and_then(|file| file.take(4).read_to_end(&mut magic));
    read.map_err(|source| ImportError::Read { path: path.to_owned(), source })?;
    Ok(magic == b"\x7fELF")
}

fn read_manifest(path: &Path) -> Result<KernelManifest, ImportError> {
    let read = |source| ImportError::Read { path: path.to_owned(), source };
    let text = read_file(path, MANIFEST_BYTES_MAX).map_err(read)?;
    let manifest: KernelManifest = serde_json::from_slice(&text)
        .map_err(|source| ImportError::Manifest { path: path.to_owned(), source })?;
    let (version, known) = (manifest.format_version, KernelManifest::FORMAT_VERSION);
    if version > known {
        return Err(ImportError::NewerManifest { path: path.to_owned(), version, known });
    }
    Ok(manifest)
}
