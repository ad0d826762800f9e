//! A kernel as one file: a tar archive, compressed with zstd, with exactly the files of a kernel's directory:
//!
//! ```text
//! vmlinux | vmlinuz | both      modules/…                                what a kernel's build gives, or
//! manifest.json  vmlinux  vmlinuz?  modules.cpio  modules.ext4?          a kernel of banger's as it is kept
//! initramfs?  config?                                                    banger makes its own; what it can do
//! ```

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use banger_model::Sha256;
use banger_sys::blocking::Cancelled;
use banger_sys::files::open_regular;
use tar::EntryType;

use super::part_names::{CONFIG, INITRD, MODULES};
use crate::artifact::MANIFEST_FILE;
use crate::artifact::digest::HashingReader;
use crate::formats::archive_path::contained;
use crate::formats::compression::Compression;
use crate::kernel::manifest::{INITRAMFS, MODULES_DRIVE, MODULES_PART, VMLINUX, VMLINUZ};

/// Files that may stand at the root of a bundle.
const ROOT_FILES: [&str; 8] =
    [CONFIG, MANIFEST_FILE, VMLINUX, VMLINUZ, INITRAMFS, INITRD, MODULES_PART, MODULES_DRIVE];
/// No bundle unpacks to more; a hostile one must not fill the disk.
const BUNDLE_BYTES_MAX: u64 = 4 << 30;
/// What may come after the archive's end: tar fills its last record with zeros.
const TRAILER_BYTES_MAX: u64 = 1 << 20;

/// Why a bundle is refused.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum KernelBundleError {
    #[error("cannot read it")]
    Read(#[source] io::Error),
    #[error("cannot write `{}`", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("its entry `{entry}` leads out of the archive")]
    Unsafe { entry: String },
    #[error("its entry `{entry}` does not belong in a kernel bundle")]
    Unexpected { entry: String },
    #[error("its entry `{entry}` is not a regular file")]
    NoFile { entry: String },
    #[error("its entry `{entry}` is duplicated")]
    Twice { entry: String },
    #[error("it unpacks to more than {} GiB", BUNDLE_BYTES_MAX >> 30)]
    TooLarge,
    #[error("there is data after the end of the archive")]
    Trailer,
    #[error("its sha256 is {found}, not {expected}")]
    OtherSha256 { expected: Sha256, found: String },
}

/// Unpacks a bundle into `target`, which is made. Nothing of it may be used when this fails.
pub(crate) fn unpack_bundle(
    bundle: &Path,
    sha256: Option<&Sha256>,
    target: &Path,
    cancelled: &Cancelled,
) -> Result<(), KernelBundleError> {
    let mut packed = HashingReader::new(open_regular(bundle).map_err(KernelBundleError::Read)?);
    let mut content = Compression::Zstd.reader(cancelled.reader(&mut packed));
    fs::create_dir(target).map_err(|source| KernelBundleError::Write { path: target.to_owned(), source })?;
    unpack_tar(&mut content, target)?;
    // The digest is that of the whole file.
    let trailer = io::copy(&mut content.by_ref().take(TRAILER_BYTES_MAX + 1), &mut io::sink());
    if trailer.map_err(KernelBundleError::Read)? > TRAILER_BYTES_MAX {
        return Err(KernelBundleError::Trailer);
    }
    drop(content);
    let found = packed.sha256();
    match sha256 {
        Some(expected) if expected.as_str() != found => {
            Err(KernelBundleError::OtherSha256 { expected: expected.clone(), found })
        }
        Some(_) | None => Ok(()),
    }
}

fn unpack_tar(content: &mut dyn Read, target: &Path) -> Result<(), KernelBundleError> {
    let mut archive = tar::Archive::new(content);
    let mut left = BUNDLE_BYTES_MAX;
    for entry in archive.entries().map_err(KernelBundleError::Read)? {
        let mut entry = entry.map_err(KernelBundleError::Read)?;
        let text = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let Some(path) = contained(&entry.path_bytes()) else {
            return Err(KernelBundleError::Unsafe { entry: text });
        };
        let is_module_file = path.starts_with(MODULES) && path != Path::new(MODULES);
        match entry.header().entry_type() {
            EntryType::Directory if path.as_os_str().is_empty() || path.starts_with(MODULES) => continue,
            // `build` and `source` of a module tree lead to where it was built.
            EntryType::Symlink if is_module_file => continue,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {}
            EntryType::Directory => return Err(KernelBundleError::Unexpected { entry: text }),
            _ => return Err(KernelBundleError::NoFile { entry: text }),
        }
        if !is_module_file && !ROOT_FILES.iter().any(|name| path == Path::new(name)) {
            return Err(KernelBundleError::Unexpected { entry: text });
        }
        left = left.checked_sub(entry.size()).ok_or(KernelBundleError::TooLarge)?;
        write_file(&mut entry, &target.join(&path), text)?;
    }
    Ok(())
}

fn write_file(content: &mut impl Read, path: &Path, entry: String) -> Result<(), KernelBundleError> {
    let failed = |source| KernelBundleError::Write { path: path.to_owned(), source };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    let mut file = match File::create_new(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(KernelBundleError::Twice { entry });
        }
        file => file.map_err(failed)?,
    };
    io::copy(content, &mut file).map(drop).map_err(failed)
}

#[cfg(test)]
#[path = "bundle_tests.rs"]
pub(super) mod tests;
