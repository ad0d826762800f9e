//! The disks of one VM, made in milliseconds: the overlay that takes its changes of the root, and the work disk that
//! is its `/root`.

use std::path::{Path, PathBuf};

use banger_ext4::{Ext4Reader, FormatError, Journal, format_empty};
use banger_model::DiskBytes;

use crate::image::{AuthorizedKey, HomeSource, Image, format_options};

/// Why a disk cannot be made. Nothing is left of it.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum DiskError {
    #[error("cannot make the disk `{}`", path.display())]
    Format { path: PathBuf, source: FormatError },
}

/// Makes the empty, sparse disk that takes a VM's changes of its root.
///
/// # Errors
/// [`DiskError::Format`].
pub fn make_overlay_disk(path: &Path, size: DiskBytes) -> Result<(), DiskError> {
    let made = format_empty(path, format_options("banger-overlay", size.get(), Journal::Auto));
    or_remove(path, made.map(drop))
}

/// Makes the work disk of a VM: what the image has for it, with the user's key. A work-seed that cannot be used is no
/// obstacle: the image's root has the same.
///
/// # Errors
/// [`DiskError`].
pub fn make_work_disk(
    path: &Path,
    size: DiskBytes,
    image: &Image,
    key: &AuthorizedKey,
) -> Result<(), DiskError> {
    let homes = image.homes();
    let mut homes = homes.iter().peekable();
    while let Some(home) = homes.next() {
        match write_work_disk(path, size, home, key) {
            Err(error) if homes.peek().is_some() && is_of_source(&error) => {
                tracing::warn!(image = %image.manifest.name, %error, "the work-seed cannot be used; `/root` is taken");
            }
            made => return or_remove(path, made),
        }
    }
    Ok(())
}

fn write_work_disk(
    path: &Path,
    size: DiskBytes,
    home: &HomeSource,
    key: &AuthorizedKey,
) -> Result<(), FormatError> {
    let reader = Ext4Reader::open(&home.file)?;
    let options = format_options("banger-work", size.get(), Journal::Auto);
    home.begin(&reader, path, options, key)?.finish().map(drop)
}

/// Tells whether the file system that was copied is to blame.
fn is_of_source(error: &FormatError) -> bool {
    matches!(error, FormatError::ReadSource { .. } | FormatError::ReadContent { .. })
}

fn or_remove(path: &Path, made: Result<(), FormatError>) -> Result<(), DiskError> {
    made.map_err(|source| {
        let _ = std::fs::remove_file(path);
        DiskError::Format { path: path.to_owned(), source }
    })
}

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;
