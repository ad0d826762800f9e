//! One blob from a registry into the cache: fetched once however many ask, taken up where an earlier try broke off, and
//! checked before it counts.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use banger_fetch::{ChunkReader, Encoding, FetchError, Size, Target, Wanted, fill};
use banger_model::{BelowFloor, DiskFloor};
use banger_sys::blocking::run_blocking;
use banger_sys::keyed_lock::KeyedGuard;

use super::cache::{BlobCache, CacheError, PartialBlob};
use super::documents::Descriptor;
use super::registry::Registry;
use super::registry_error::RegistryError;
use crate::formats::compression::Compression;
use crate::limits::check_floor;

/// Why a blob is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DownloadError {
    #[error(transparent)]
    Registry(RegistryError),
    #[error(transparent)]
    Cache(CacheError),
    #[error("cannot write a blob into the cache")]
    Write(#[source] io::Error),
}

/// Returns the blob, open. `told` hears how many bytes of it are here.
pub(crate) async fn fetch(
    cache: &Arc<BlobCache>,
    registry: &Registry,
    blob: &Descriptor,
    told: impl Fn(u64) + Sync,
) -> Result<File, DownloadError> {
    let there = || cache.open(&blob.digest, blob.size).map_err(DownloadError::Cache);
    if let Some(file) = there()? {
        told(blob.size);
        return Ok(file);
    }
    let held = cache.lock(&blob.digest).await;
    // Another pull may have fetched it while this one waited.
    if let Some(file) = there()? {
        told(blob.size);
        return Ok(file);
    }
    let partial = cache.partial(&held, &blob.digest).map_err(DownloadError::Cache)?;
    let growing = GrowingBlob { partial, _held: held, floor: (cache.floor, cache.home().to_owned()) };
    let (size, sha256) = (Size::Exactly(blob.size), Some(blob.digest.hex().to_owned()));
    let wanted = Wanted { what: "blob", size, sha256, decode: Some(decode) };
    let filled = fill(&registry.blob(&blob.digest), growing, &wanted, &told).await?;
    let (cache, digest) = (Arc::clone(cache), blob.digest.clone());
    let published = run_blocking(move |_| cache.publish(filled.target.partial, &digest));
    published.await.map_err(DownloadError::Cache)
}

impl From<RegistryError> for DownloadError {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Fetch(FetchError::Write { source, .. }) => Self::Write(source),
            error => Self::Registry(error),
        }
    }
}

/// Returns what is said about the free space, where that is why something was not written.
pub(crate) fn below_floor(error: &io::Error) -> Option<&BelowFloor> {
    error.get_ref()?.downcast_ref()
}

/// A blob that grows in the cache. Its lock is held wherever it grows, also when nobody waits for it any more: until then
/// nobody else may go on with it.
struct GrowingBlob {
    partial: PartialBlob,
    _held: KeyedGuard,
    /// What must stay free, and where.
    floor: (DiskFloor, PathBuf),
}

impl Target for GrowingBlob {
    fn file(&mut self) -> &mut File {
        &mut self.partial.file
    }

    fn make_room(&mut self, bytes: u64) -> io::Result<()> {
        let (floor, path) = &self.floor;
        check_floor(*floor, path, bytes).map_err(io::Error::other)
    }

    fn discard(self) {
        self.partial.discard();
    }
}

/// Undoes a compression of the server's.
fn decode(encoding: Encoding, packed: ChunkReader) -> Box<dyn Read> {
    match encoding {
        Encoding::Identity => Compression::None,
        Encoding::Gzip => Compression::Gzip,
        Encoding::Zstd => Compression::Zstd,
    }
    .reader(packed)
}

#[cfg(test)]
#[path = "download_tests.rs"]
mod tests;
