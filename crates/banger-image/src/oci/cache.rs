//! Blobs by digest, kept between pulls: `<cache>/oci/blobs/sha256/<hex>`. A blob appears when it is whole and its digest
//! was seen to be right; until then it grows in `<cache>/oci/partial/<hex>`, where a later pull goes on with it.
//!
//! Whoever has opened a blob keeps it, whatever is pruned meanwhile. Whoever grows one holds its lock, so nobody else does.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use banger_model::DiskFloor;
use banger_sys::files::{FileError, create_private_directory, is_staging, remove_any, sibling, sync_parent};
use banger_sys::id::random_hex;
use banger_sys::keyed_lock::{KeyedGuard, KeyedLock};
use rustix::fs::{FlockOperation, OFlags, flock};

use super::digest::BlobDigest;

const MODE: u32 = 0o600;
/// How often a directory is made again that was pruned under our feet.
const TRIES_MAX: u32 = 5;

/// Why the cache cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum CacheError {
    #[error("cannot create the cache")]
    Directory(#[source] FileError),
    #[error("cannot write `{}` in the cache", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot read `{}` in the cache", path.display())]
    Read { path: PathBuf, source: io::Error },
}

/// What a prune found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Whole and unfinished blobs.
    pub blobs: u64,
    /// Their bytes on disk.
    pub bytes: u64,
}

/// Whether a prune only looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prune {
    /// Tells what would be removed.
    DryRun,
    /// Removes it.
    Remove,
}

/// The cache. Share it: it knows who fetches what.
#[derive(Debug)]
pub(crate) struct BlobCache {
    home: PathBuf,
    locks: KeyedLock<BlobDigest>,
    /// How much of the disk stays free.
    pub(crate) floor: DiskFloor,
}

/// A blob that is growing. Its file is locked, so that neither another process nor a prune touches it.
#[derive(Debug)]
pub(crate) struct PartialBlob {
    pub(crate) file: File,
    path: PathBuf,
}

impl BlobCache {
    /// The cache in this directory, which need not exist.
    pub(crate) fn new(home: PathBuf) -> Self {
        Self { home, locks: KeyedLock::default(), floor: DiskFloor::Bytes(0) }
    }

    /// The same cache, for who keeps another floor.
    pub(crate) fn keeping(self, floor: DiskFloor) -> Self {
        Self { floor, ..self }
    }

    /// Where it is.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// Waits until nobody else fetches the blob.
    pub(crate) async fn lock(&self, digest: &BlobDigest) -> KeyedGuard {
        self.locks.lock(digest).await
    }

    /// Opens a blob that is whole. One of another size is none: something has cut it.
    pub(crate) fn open(&self, digest: &BlobDigest, size: u64) -> Result<Option<File>, CacheError> {
        let path = self.place(digest);
        let failed = |source| CacheError::Read { path: path.clone(), source };
        let file = match OpenOptions::new().read(true).custom_flags(no_follow()).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(failed(source)),
        };
        Ok((file.metadata().map_err(failed)?.len() == size).then_some(file))
    }

    /// Forgets a blob that turned out to be damaged.
    pub(crate) fn evict(&self, digest: &BlobDigest) {
        let path = self.place(digest);
        if let Err(error) = remove_any(&path) {
            tracing::warn!(path = %path.display(), %error, "a damaged blob stays in the cache");
        }
    }

    /// Opens what there is of a blob, to go on with it.
    pub(crate) fn partial(&self, _held: &KeyedGuard, digest: &BlobDigest) -> Result<PartialBlob, CacheError> {
        create_private_directory(&self.home).map_err(CacheError::Directory)?;
        let path = self.home.join("partial").join(digest.hex());
        for _ in 0..TRIES_MAX {
            let failed = |source| CacheError::Write { path: path.clone(), source };
            let file = open_partial(&path).map_err(failed)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) if is_at(&file, &path) => return Ok(PartialBlob { file, path }),
                // Pruned between the two calls.
                Ok(()) => {}
                // Another daemon on the same cache fetches it: then each fetches its own.
                Err(rustix::io::Errno::WOULDBLOCK) => break,
                Err(errno) => return Err(failed(errno.into())),
            }
        }
        let path = path.with_extension(random_hex::<4>());
        let failed = |source| CacheError::Write { path: path.clone(), source };
        let file = open_partial(&path).map_err(failed)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|errno| failed(errno.into()))?;
        Ok(PartialBlob { file, path })
    }

    /// Makes a blob of what has grown; its digest is known to be right.
    pub(crate) fn publish(&self, partial: PartialBlob, digest: &BlobDigest) -> Result<File, CacheError> {
        let place = self.place(digest);
        let failed = |source| CacheError::Write { path: place.clone(), source };
        partial.file.sync_all().map_err(failed)?;
        let mut tries = 0;
        loop {
            fs::create_dir_all(self.blobs()).map_err(failed)?;
            match fs::rename(&partial.path, &place) {
                Ok(()) => break,
                // Pruned between the two calls.
                Err(error) if error.kind() == io::ErrorKind::NotFound && tries < TRIES_MAX => tries += 1,
                Err(source) => return Err(failed(source)),
            }
        }
        match sync_parent(&place) {
            Ok(()) => {}
            // Pruned: we have it open, and that is all that we need.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(failed(source)),
        }
        let _ = flock(&partial.file, FlockOperation::Unlock);
        Ok(partial.file)
    }

    /// Counts what is in the cache, and removes it unless it is only to be looked at. What grows right now stays.
    pub(crate) fn prune(&self, prune: Prune) -> Result<Pruned, CacheError> {
        let mut pruned = Pruned::default();
        let blobs = self.home.join("blobs");
        let counted = match prune {
            Prune::DryRun => blobs,
            Prune::Remove => {
                // Moved away in one step: a pull finds the cache as it was, or an empty one.
                let aside = sibling(&blobs);
                match fs::rename(&blobs, &aside) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(source) => return Err(CacheError::Write { path: blobs, source }),
                }
                aside
            }
        };
        for path in files_of(&counted.join("sha256"))? {
            pruned.count(&path);
        }
        for path in files_of(&self.home.join("partial"))? {
            let failed = |source| CacheError::Read { path: path.clone(), source };
            let Ok(file) = OpenOptions::new().read(true).custom_flags(no_follow()).open(&path) else {
                continue;
            };
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => continue,
                Err(errno) => return Err(failed(errno.into())),
            }
            pruned.count(&path);
            if prune == Prune::Remove {
                remove_any(&path).map_err(|source| CacheError::Write { path: path.clone(), source })?;
            }
        }
        if prune == Prune::Remove {
            self.remove_aside()?;
        }
        Ok(pruned)
    }

    /// Removes what was moved away, now or by a prune that was killed.
    fn remove_aside(&self) -> Result<(), CacheError> {
        for entry in fs::read_dir(&self.home).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_some_and(is_staging) {
                let path = entry.path();
                remove_any(&path).map_err(|source| CacheError::Write { path, source })?;
            }
        }
        Ok(())
    }

    fn blobs(&self) -> PathBuf {
        self.home.join("blobs/sha256")
    }

    fn place(&self, digest: &BlobDigest) -> PathBuf {
        self.blobs().join(digest.hex())
    }
}

impl PartialBlob {
    /// Removes what has grown: it is of no use.
    pub(crate) fn discard(self) {
        let _ = remove_any(&self.path);
    }
}

impl Pruned {
    fn count(&mut self, path: &Path) {
        if let Ok(metadata) = fs::symlink_metadata(path) {
            self.blobs += 1;
            self.bytes += metadata.blocks() * 512;
        }
    }
}

fn no_follow() -> i32 {
    OFlags::NOFOLLOW.bits().cast_signed()
}

fn open_partial(path: &Path) -> io::Result<File> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(MODE).custom_flags(no_follow());
    options.open(path)
}

/// Tells whether a path still leads to an open file.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(open), Ok(there)) => (open.dev(), open.ino()) == (there.dev(), there.ino()),
        (Ok(_), Err(_)) | (Err(_), Ok(_) | Err(_)) => false,
    }
}

fn files_of(directory: &Path) -> Result<Vec<PathBuf>, CacheError> {
    let failed = |source| CacheError::Read { path: directory.to_owned(), source };
    match fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(failed(source)),
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
