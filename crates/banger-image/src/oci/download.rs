//! One blob from a registry into the cache: fetched once however many ask, taken up where an earlier try broke off, and
//! checked before it counts.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use banger_model::{BelowFloor, DiskFloor};
use banger_sys::blocking::run_blocking;
use banger_sys::keyed_lock::KeyedGuard;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::cache::{BlobCache, CacheError, PartialBlob};
use super::content_encoding::Received;
use super::digest::{BlobDigest, BlobHasher};
use super::documents::Descriptor;
use super::registry::Registry;
use super::registry_error::RegistryError;
use super::tries::Tries;
use crate::formats::compression::Compression;
use crate::limits::check_floor;

/// How much may be written before the free space is looked at again.
const LOOK_BYTES: u64 = 64 << 20;
const READ_BYTES: usize = 256 << 10;
/// Chunks of the network that wait for the disk, each of some kilobytes.
const CHUNKS_WAITING_MAX: usize = 64;
/// A try that brought less has not come further.
const PROGRESS_BYTES: u64 = 1 << 20;

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
    let growth = Growth::taken_up(partial, held, blob.size, cache).await.map_err(DownloadError::Write)?;
    let growth = grow_whole(growth, registry, blob, &told).await?;
    let (cache, digest) = (Arc::clone(cache), blob.digest.clone());
    let published = run_blocking(move |_| {
        let Growth { partial, _held, .. } = growth;
        cache.publish(partial, &digest)
    });
    published.await.map_err(DownloadError::Cache)
}

/// Returns what is said about the free space, where that is why something was not written.
pub(crate) fn below_floor(error: &io::Error) -> Option<&BelowFloor> {
    error.get_ref()?.downcast_ref()
}

/// Tries until the blob is whole.
async fn grow_whole(
    mut growth: Growth,
    registry: &Registry,
    blob: &Descriptor,
    told: &(impl Fn(u64) + Sync),
) -> Result<Growth, DownloadError> {
    let mut tries = Tries::new(registry.patience());
    let mut is_second_chance = false;
    loop {
        let before = growth.bytes;
        let (grown, ended) = grow(growth, registry, blob, told).await?;
        growth = grown;
        let Err(error) = ended else { return Ok(growth) };
        let is_other = matches!(error, RegistryError::WrongDigest { .. } | RegistryError::TooLong { .. });
        if is_other && growth.decoding == Decoding::Done {
            // Servers confuse a compression of their own with that of a blob that is stored so.
            growth.decoding = Decoding::Off;
            growth.start_over().map_err(DownloadError::Write)?;
            continue;
        }
        if is_other {
            // What was taken up may have been wrong; a second time it is the registry.
            if is_second_chance || matches!(error, RegistryError::TooLong { .. }) {
                growth.partial.discard();
                return Err(DownloadError::Registry(error));
            }
            is_second_chance = true;
            growth.start_over().map_err(DownloadError::Write)?;
        }
        if growth.bytes >= before + PROGRESS_BYTES {
            tries.came_further();
        }
        tries.again(error).await.map_err(DownloadError::Registry)?;
    }
}

/// What is done with a compression that is the server's and not the blob's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decoding {
    /// It is taken off.
    On,
    /// It was taken off in the latest try.
    Done,
    /// It is believed to be the blob's own.
    Off,
}

/// A blob that grows, with the digest of what is there.
struct Growth {
    partial: PartialBlob,
    /// Wherever it grows, also when nobody waits for it any more: until then nobody else may go on with it.
    _held: KeyedGuard,
    hasher: BlobHasher,
    bytes: u64,
    decoding: Decoding,
    /// What must stay free, and where.
    floor: (DiskFloor, PathBuf),
}

impl Growth {
    /// Reads what an earlier pull has left.
    async fn taken_up(
        partial: PartialBlob,
        held: KeyedGuard,
        size: u64,
        cache: &BlobCache,
    ) -> io::Result<Self> {
        let floor = (cache.floor, cache.home().to_owned());
        run_blocking(move |cancelled| {
            let (hasher, decoding) = (BlobHasher::default(), Decoding::On);
            let mut growth = Self { partial, _held: held, hasher, bytes: 0, decoding, floor };
            if growth.partial.file.metadata()?.len() > size {
                growth.start_over()?;
            }
            let mut file = cancelled.reader(&growth.partial.file);
            let mut buffer = vec![0; READ_BYTES];
            loop {
                let count = file.read(&mut buffer)?;
                if count == 0 {
                    break;
                }
                growth.hasher.update(buffer.get(..count).unwrap_or_default());
                growth.bytes += count as u64;
            }
            Ok(growth)
        })
        .await
    }

    fn start_over(&mut self) -> io::Result<()> {
        self.partial.file.set_len(0)?;
        self.partial.file.seek(SeekFrom::Start(0))?;
        (self.hasher, self.bytes) = (BlobHasher::default(), 0);
        Ok(())
    }

    /// Appends what comes out of compressed chunks, and not much more than it may become. What is damaged ends it: then
    /// too little is here, or something else.
    fn append_decoded(
        &mut self,
        encoding: Compression,
        chunks: mpsc::Receiver<Bytes>,
        bytes_max: u64,
    ) -> io::Result<()> {
        let mut decoder = encoding.reader(Received::new(chunks));
        let mut buffer = vec![0; READ_BYTES];
        while self.bytes <= bytes_max {
            match decoder.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(count) => self.append(buffer.get(..count).unwrap_or_default())?,
            }
        }
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let after = self.bytes + bytes.len() as u64;
        if self.bytes / LOOK_BYTES != after / LOOK_BYTES {
            let (floor, path) = &self.floor;
            check_floor(*floor, path, LOOK_BYTES).map_err(io::Error::other)?;
        }
        self.partial.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

/// Fetches what is missing, in one try. The inner result is the registry's; an outer error is ours.
async fn grow(
    mut growth: Growth,
    registry: &Registry,
    blob: &Descriptor,
    told: &(impl Fn(u64) + Sync),
) -> Result<(Growth, Result<(), RegistryError>), DownloadError> {
    if growth.bytes == blob.size && blob.size > 0 {
        let checked = check(&growth, registry, blob);
        return Ok((growth, checked));
    }
    let mut stream = match registry.blob(&blob.digest, growth.bytes).await {
        Ok(stream) => stream,
        Err(error) => return Ok((growth, Err(error))),
    };
    if stream.offset != growth.bytes {
        growth.start_over().map_err(DownloadError::Write)?;
        if stream.offset > 0 {
            // It started in the middle, and not where it was asked to.
            let registry = registry.name().to_owned();
            return Ok((growth, Err(RegistryError::Truncated { registry, wanted: blob.size, found: 0 })));
        }
    }
    let mut here = growth.bytes;
    let encoding = if growth.decoding == Decoding::Off { Compression::None } else { stream.encoding };
    if encoding != Compression::None {
        growth.decoding = Decoding::Done;
    }
    let bytes_max = blob.size;
    let (sender, mut receiver) = mpsc::channel::<Bytes>(CHUNKS_WAITING_MAX);
    // Writing waits for the disk, so it has a thread of its own; the network waits for it through the channel.
    let writing = run_blocking(move |_| {
        if encoding == Compression::None {
            while let Some(bytes) = receiver.blocking_recv() {
                growth.append(&bytes)?;
            }
            return Ok(growth);
        }
        growth.append_decoded(encoding, receiver, bytes_max).map(|()| growth)
    });
    let reading = async {
        let sender = sender;
        while let Some(bytes) = stream.next().await? {
            here += bytes.len() as u64;
            if here > blob.size && encoding == Compression::None {
                let registry = registry.name().to_owned();
                return Err(RegistryError::TooLong { registry, wanted: blob.size });
            }
            if sender.send(bytes).await.is_err() {
                // The writer has an error or enough, and tells it.
                break;
            }
            told(here.min(blob.size));
        }
        Ok(())
    };
    let (written, read) = tokio::join!(writing, reading);
    let growth = written.map_err(DownloadError::Write)?;
    let checked = read.and_then(|()| check(&growth, registry, blob));
    Ok((growth, checked))
}

fn check(growth: &Growth, registry: &Registry, blob: &Descriptor) -> Result<(), RegistryError> {
    let name = || registry.name().to_owned();
    if growth.bytes < blob.size {
        return Err(RegistryError::Truncated { registry: name(), wanted: blob.size, found: growth.bytes });
    }
    if growth.bytes > blob.size {
        return Err(RegistryError::TooLong { registry: name(), wanted: blob.size });
    }
    let found: BlobDigest = growth.hasher.clone().finish();
    if found != blob.digest {
        return Err(RegistryError::WrongDigest { registry: name(), wanted: blob.digest.clone(), found });
    }
    Ok(())
}

#[cfg(test)]
#[path = "download_tests.rs"]
mod tests;
