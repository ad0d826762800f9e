//! Images in one tar: the archives of `docker save` and `podman save`, old and new (Docker image spec 1.2, "Combined Image JSON
//! + Filesystem Changeset Format"), layouts in a tar, and what is both. A compressed one is unpacked first.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek as _, SeekFrom, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use banger_sys::blocking::Cancelled;
use banger_sys::id::random_hex;
use serde::Deserialize;

use super::digest::BlobDigest;
use super::documents::{ConfigDocument, DocumentError, LAYERS_MAX, read_json};
use super::layer::Layer;
use super::local_image::{LocalImage, LocalImageError, read_document};
use super::null::null_is_default;
use super::platform::Platform;
use super::reference::Reference;
use crate::formats::compression::Compression;
use crate::limits::{Allowance, OverLimit};
use crate::progress::{CountingReader, Progress};

/// More members than any archive has.
const MEMBERS_MAX: usize = 1 << 16;
/// Links that lead to links.
const LINKS_MAX: usize = 4;
const CHUNK_BYTES: usize = 256 << 10;
const STAGE_UNPACK: &str = "unpack archive";
const TAR_BLOCK_BYTES: usize = 512;
/// What a header has there, in every form since 1988.
const TAR_MAGIC: &[u8] = b"ustar";
const TAR_MAGIC_AT: std::ops::Range<usize> = 257..262;
/// The list of images in an archive of docker.
pub(super) const MANIFEST: &str = "manifest.json";

/// One image of an archive.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Archived {
    config: String,
    #[serde(default, deserialize_with = "null_is_default")]
    repo_tags: Vec<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    layers: Vec<String>,
}

/// A member of an archive.
#[derive(Debug, Clone)]
enum Member {
    File {
        offset: u64,
        size: u64,
    },
    /// A layer that images share is there once: older dockers write a symbolic link for the others, tar a hard one.
    Link(PathBuf),
}

/// Where a compressed archive is unpacked to, and how much of it.
pub(super) struct Scratch<'s> {
    pub(super) directory: &'s Path,
    /// For an archive of this many packed bytes.
    pub(super) allowance: &'s dyn Fn(u64) -> Allowance,
    /// Hears how much of it is read.
    pub(super) progress: &'s Progress,
}

/// An archive with the places of its members.
#[derive(Debug)]
pub(super) struct Archive {
    pub(super) path: PathBuf,
    file: File,
    members: BTreeMap<PathBuf, Member>,
}

impl Archive {
    /// Opens what is in a file. `path` is what the file is called in errors.
    pub(super) fn open(
        path: &Path,
        file: File,
        scratch: &Scratch<'_>,
        cancelled: &Cancelled,
    ) -> Result<Self, LocalImageError> {
        let failed = |source| LocalImageError::Read { path: path.to_owned(), source };
        let mut start = [0; 6];
        let count = file.read_at(&mut start, 0).map_err(failed)?;
        let compression =
            Compression::of_start(start.get(..count).unwrap_or_default()).map_err(|unknown| {
                LocalImageError::UnknownCompression { path: path.to_owned(), name: unknown.name }
            })?;
        let file = match compression {
            Compression::None => file,
            Compression::Bzip2 | Compression::Gzip | Compression::Xz | Compression::Zstd => {
                unpack(path, &file, compression, scratch, cancelled)?
            }
        };
        let members = if count == 0 { BTreeMap::new() } else { index(path, &file)? };
        Ok(Self { path: path.to_owned(), file, members })
    }

    /// Returns the error for an archive that is of no kind: it may be the first part of one.
    pub(super) fn unknown(&self) -> LocalImageError {
        no_archive(&self.path, &self.file)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.find(name).is_ok()
    }

    /// Finds a member; links lead to members, and not far.
    fn find(&self, name: &str) -> Result<(u64, u64), LocalImageError> {
        let mut wanted = normal(Path::new(name));
        for _ in 0..LINKS_MAX {
            match self.members.get(&wanted) {
                Some(Member::File { offset, size }) => return Ok((*offset, *size)),
                Some(Member::Link(target)) => wanted.clone_from(target),
                None => break,
            }
        }
        Err(LocalImageError::Lacks { path: self.path.clone(), name: name.to_owned() })
    }

    pub(super) fn document(&self, name: &str) -> Result<Vec<u8>, LocalImageError> {
        let (file, offset, size) = self.member(name)?;
        let read = || {
            let mut file = &file;
            file.seek(SeekFrom::Start(offset))?;
            read_document(file.take(size))
        };
        read().map_err(|source| LocalImageError::Read { path: self.path.clone(), source })
    }

    /// Returns a member with its place in a file.
    pub(super) fn member(&self, name: &str) -> Result<(File, u64, u64), LocalImageError> {
        let (offset, size) = self.find(name)?;
        // Opened anew, because each reads at its own place; not by its path, because it may have none.
        let file = File::open(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
            .map_err(|source| LocalImageError::Read { path: self.path.clone(), source })?;
        Ok((file, offset, size))
    }

    /// Returns the names of the image with a name in docker's list, or of the only one.
    pub(super) fn names(&self, name: Option<&str>) -> Result<Vec<String>, LocalImageError> {
        Ok(self.choose(self.archived()?, name)?.repo_tags)
    }

    /// Opens an image of docker's list.
    pub(super) fn image(&self, name: Option<&str>, wanted: &Platform) -> Result<LocalImage, LocalImageError> {
        let unusable = |source| LocalImageError::Document { path: self.path.clone(), source };
        let image = self.choose(self.archived()?, name)?;
        if image.layers.len() > LAYERS_MAX {
            return Err(unusable(DocumentError::TooManyLayers { layers: image.layers.len() }));
        }
        let text = self.document(&image.config)?;
        let config = ConfigDocument::parse(&text, image.layers.len(), wanted).map_err(unusable)?;
        let layers = image.layers.iter().zip(&config.diff_ids).map(|(name, diff_id)| {
            let (file, offset, size) = self.member(name)?;
            Ok(Layer { file, offset, size, unchecked: None, diff_id: diff_id.clone(), read: Arc::default() })
        });
        let layers = layers.collect::<Result<_, LocalImageError>>()?;
        Ok(LocalImage { layers, config, digest: BlobDigest::of(&text) })
    }

    fn archived(&self) -> Result<Vec<Archived>, LocalImageError> {
        let text = self.document(MANIFEST)?;
        read_json(MANIFEST, &text)
            .map_err(|source| LocalImageError::Document { path: self.path.clone(), source })
    }

    fn choose(&self, images: Vec<Archived>, name: Option<&str>) -> Result<Archived, LocalImageError> {
        let path = self.path.clone();
        let names: Vec<_> = images.iter().flat_map(|image| image.repo_tags.clone()).collect();
        match name {
            Some(name) => {
                let found =
                    images.into_iter().find(|image| image.repo_tags.iter().any(|tag| is_same(tag, name)));
                found.ok_or_else(|| LocalImageError::NotThere { path, name: name.to_owned(), names })
            }
            None if images.len() > 1 => Err(LocalImageError::Several { path, names }),
            None => images.into_iter().next().ok_or(LocalImageError::NoArchive { path }),
        }
    }
}

/// Tells whether two names mean the same image: some programs write them out in full and some do not.
pub(super) fn is_same(tag: &str, name: &str) -> bool {
    let wanted = name.parse::<Reference>().ok();
    tag == name || (wanted.is_some() && tag.parse::<Reference>().ok() == wanted)
}

/// Unpacks an archive into a file without a name, which goes when nobody reads it any more.
fn unpack(
    path: &Path,
    packed: &File,
    compression: Compression,
    scratch: &Scratch<'_>,
    cancelled: &Cancelled,
) -> Result<File, LocalImageError> {
    let failed = |source| LocalImageError::Read { path: path.to_owned(), source };
    let written = |source| LocalImageError::Unpack { path: path.to_owned(), source };
    let name = scratch.directory.join(format!(".archive-{}", random_hex::<8>()));
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(&name).map_err(written)?;
    std::fs::remove_file(&name).map_err(written)?;
    let size = packed.metadata().map_err(failed)?.len();
    let allowance = (scratch.allowance)(size);
    let packed = CountingReader::new(cancelled.reader(packed), STAGE_UNPACK, Some(size), scratch.progress);
    let mut reader = compression.buffered(BufReader::with_capacity(CHUNK_BYTES, packed));
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let count = reader.read(&mut chunk).map_err(|error| {
            if is_early_end(&error) {
                LocalImageError::CutOff { path: path.to_owned() }
            } else {
                failed(error)
            }
        })?;
        if count == 0 {
            return Ok(file);
        }
        allowance
            .take(count)
            .map_err(|source: OverLimit| LocalImageError::Limit { path: path.to_owned(), source })?;
        file.write_all(chunk.get(..count).unwrap_or_default()).map_err(written)?;
    }
}

/// Tells whether a reader found that there should be more.
fn is_early_end(error: &io::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof)
        {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Returns the error for a file that is no archive: what begins as a tar and does not end as one is the first part of one.
fn no_archive(path: &Path, file: &File) -> LocalImageError {
    let path = path.to_owned();
    let mut block = [0; TAR_BLOCK_BYTES];
    let size = file.metadata().map_or(0, |metadata| metadata.len());
    let begins = file.read_exact_at(&mut block, 0).is_ok() && block.get(TAR_MAGIC_AT) == Some(TAR_MAGIC);
    let last = size.saturating_sub(block.len() as u64);
    let ends = file.read_exact_at(&mut block, last).is_ok() && block.iter().all(|byte| *byte == 0);
    if begins && !ends { LocalImageError::CutOff { path } } else { LocalImageError::NoArchive { path } }
}

fn index(path: &Path, file: &File) -> Result<BTreeMap<PathBuf, Member>, LocalImageError> {
    let no_archive = |_error: io::Error| no_archive(path, file);
    let read = |source| LocalImageError::Read { path: path.to_owned(), source };
    let mut start = file;
    start.seek(SeekFrom::Start(0)).map_err(read)?;
    let size = file.metadata().map_err(read)?.len();
    let mut tar = tar::Archive::new(file);
    let mut members = BTreeMap::new();
    for member in tar.entries_with_seek().map_err(no_archive)?.take(MEMBERS_MAX) {
        let member = member.map_err(no_archive)?;
        let name = normal(&member.path().map_err(no_archive)?);
        let found = match (member.header().entry_type(), member.link_name()) {
            (tar::EntryType::Regular, _) => {
                let (offset, bytes) = (member.raw_file_position(), member.size());
                if offset.saturating_add(bytes) > size {
                    return Err(LocalImageError::CutOff { path: path.to_owned() });
                }
                Member::File { offset, size: bytes }
            }
            (tar::EntryType::Symlink, Ok(Some(target))) => {
                Member::Link(normal(&name.parent().unwrap_or(Path::new("")).join(target)))
            }
            (tar::EntryType::Link, Ok(Some(target))) => Member::Link(normal(&target)),
            _ => continue,
        };
        members.insert(name, found);
    }
    Ok(members)
}

/// Returns a path of an archive in one form: without `.`, and `..` taken together with the name before it.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => normal.push(name),
            Component::ParentDir => {
                normal.pop();
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    normal
}
