//! The disks of one VM, made in milliseconds: the overlay that takes its changes of the root, and the work disk that
//! is its `/root`.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use banger_ext4::{
    EntryKind, Ext4Writer, FormatError, FormatOptions, Journal, Metadata, TarAction, format_empty,
};
use banger_model::DiskBytes;
use banger_sys::id::random_bytes;

use crate::image::Image;

/// Why a disk cannot be made. Nothing is left of it.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum DiskError {
    #[error("cannot make the disk `{}`", path.display())]
    Format { path: PathBuf, source: FormatError },
    #[error("cannot read the work-seed `{}`", path.display())]
    ReadSeed { path: PathBuf, source: io::Error },
}

/// A file that a work disk gets on top of its image's seed. Owned by root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedFile {
    /// Relative to `/root`: `.ssh/authorized_keys`.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// What is in it.
    pub content: Vec<u8>,
}

/// Makes the empty, sparse disk that takes a VM's changes of its root.
///
/// # Errors
/// [`DiskError::Format`].
pub fn make_overlay_disk(path: &Path, size: DiskBytes) -> Result<(), DiskError> {
    let made = format_empty(path, options("banger-overlay", size));
    or_remove(path, made.map(drop))
}

/// Makes the work disk of a VM: the image's seed, then these files. Parents of the files are 0700.
///
/// # Errors
/// [`DiskError`].
pub fn make_work_disk(
    path: &Path,
    size: DiskBytes,
    image: &Image,
    files: &[SeedFile],
) -> Result<(), DiskError> {
    let seed_path = image.work_seed();
    let seed = File::open(&seed_path).map_err(|source| DiskError::ReadSeed { path: seed_path, source })?;
    or_remove(path, write_work_disk(path, size, seed, files))
}

fn write_work_disk(path: &Path, size: DiskBytes, seed: File, files: &[SeedFile]) -> Result<(), FormatError> {
    let options = options("banger-work", size);
    let mtime = options.created_at;
    let mut writer = Ext4Writer::create(path, options)?;
    writer.add_tar(seed, |_| TarAction::Keep)?;
    let metadata = |mode| Metadata { mode, mtime, ..Metadata::default() };
    for file in files {
        let mut parent = String::new();
        for name in file.path.split('/').rev().skip(1).collect::<Vec<_>>().into_iter().rev() {
            parent.push_str(name);
            writer.add(parent.as_bytes(), &metadata(0o700), EntryKind::Directory)?;
            parent.push('/');
        }
        let kind = EntryKind::File { size: file.content.len() as u64, content: &mut file.content.as_slice() };
        writer.add(file.path.as_bytes(), &metadata(file.mode), kind)?;
    }
    writer.finish().map(drop)
}

fn options(label: &str, size: DiskBytes) -> FormatOptions {
    FormatOptions {
        size_bytes: size.get(),
        label: label.to_owned(),
        uuid: random_bytes(),
        hash_seed: random_bytes(),
        created_at: jiff::Timestamp::now().as_second(),
        inodes_min: 0,
        journal: Journal::Auto,
    }
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
