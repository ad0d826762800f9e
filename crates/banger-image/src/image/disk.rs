//! The disks of one VM, made in milliseconds: the overlay that takes its changes of the root, and the work disk that
//! is its `/root`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use banger_ext4::{
    EntryBody, Ext4Reader, FormatError, Journal, ReadError, Resource, format_empty, image_size_for,
};
use banger_model::{DiskBytes, Hint, ImageName};

use crate::image::{AuthorizedKey, HomeSource, Image, format_options};

/// Sizes that are proposed are multiples of it.
const STEP: u64 = 64 << 20;

/// Why a disk cannot be made. Nothing is left of it.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum DiskError {
    #[error("cannot create the disk `{}`", path.display())]
    Format { path: PathBuf, source: FormatError },
    #[error(
        "`/root` of the image `{image}` does not fit on a work disk of {size}: it needs at least {needed}"
    )]
    HomeTooLarge { image: ImageName, size: DiskBytes, needed: DiskBytes },
}

impl DiskError {
    /// What to type next, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<Hint> {
        match self {
            Self::Format { .. } => None,
            Self::HomeTooLarge { needed, .. } => Some(Hint::EnlargeDisks { size: needed.to_string() }),
        }
    }
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
/// obstacle: the image's root has the same. A home that cannot fit is told before anything is written.
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
        let made = if cannot_fit(home, size) {
            Err(FormatError::NoSpace { resource: Resource::Blocks, size_bytes: size.get() })
        } else {
            write_work_disk(path, size, home, key)
        };
        match made {
            Err(error) if homes.peek().is_some() && is_of_source(&error) => {
                tracing::warn!(image = %image.manifest.name, %error, "the work-seed cannot be used; `/root` is taken");
            }
            Err(FormatError::NoSpace { .. }) => {
                let _ = std::fs::remove_file(path);
                let needed = size_for(home, size);
                return Err(DiskError::HomeTooLarge { image: image.manifest.name.clone(), size, needed });
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

/// Tells of a home that is a file system of its own, made as small as can be, and larger than the disk.
fn cannot_fit(home: &HomeSource, size: DiskBytes) -> bool {
    home.is_whole() && Ext4Reader::open(&home.file).is_ok_and(|reader| reader.size_bytes() > size.get())
}

/// Returns how large a work disk has to be for a home that was too large for this size.
fn size_for(home: &HomeSource, too_small: DiskBytes) -> DiskBytes {
    let (bytes, entries) =
        Ext4Reader::open(&home.file).and_then(|reader| amount(home, &reader)).unwrap_or_default();
    let with_slack = image_size_for(bytes, entries);
    // A journal takes an eighth of a disk at most.
    let needed = with_slack.saturating_add(with_slack / 8).max(too_small.get().saturating_add(1));
    let needed = i64::try_from(needed.div_ceil(STEP).saturating_mul(STEP));
    needed.ok().and_then(|needed| DiskBytes::try_from(needed).ok()).unwrap_or(DiskBytes::MAX)
}

/// Counts the bytes of a home's files, and its entries.
fn amount(home: &HomeSource, reader: &Ext4Reader) -> Result<(u64, u64), ReadError> {
    let (mut bytes, mut entries, mut counted) = (0_u64, 0_u64, HashSet::new());
    for found in reader.tree(&home.place(reader)?)? {
        entries += 1;
        if let EntryBody::File { size } = found.entry.body
            && counted.insert(found.entry.inode)
        {
            bytes = bytes.saturating_add(size);
        }
    }
    // Holes are no bytes that are there.
    Ok((bytes.min(reader.size_bytes()), entries))
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
