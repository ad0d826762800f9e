//! Layers come at the same time, and each is unpacked as soon as it and those below it are here.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use banger_ext4::{Ext4Writer, Journal};
use banger_sys::blocking::{Cancelled, run_blocking};
use banger_sys::files::StagedDirectory;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};

use super::digest::BlobDigest;
use super::documents::{ConfigDocument, Descriptor};
use super::download::fetch;
use super::flatten::{FlattenError, LayerError, add_layer};
use super::images::OciImages;
use super::layer::{Layer, LayerReadError};
use super::layer_progress::LayerProgress;
use super::left_out::LeftOut;
use super::pull_error::OciPullError;
use super::resolve::Layers;
use super::system::complete;
use crate::artifact::digest::FileRecord;
use crate::image::{ROOTFS, format_options};
use crate::limits::Allowance;
use crate::progress::{Progress, StagePart};

/// Layers that are fetched at the same time.
pub(super) const FETCHES_MAX: usize = 4;
/// Upper bound while it is written; the finished root is as large as its content.
const ROOTFS_BYTES_MAX: u64 = 256 << 30;

impl OciImages {
    /// Fetches and unpacks at the same time. The inner result is that of the unpacking.
    pub(super) async fn flatten(
        &self,
        layers: Layers,
        config: &ConfigDocument,
        (staged, allowance): (StagedDirectory, Allowance),
        progress: &Progress,
    ) -> Result<(StagedDirectory, Result<RootFacts, FlattenError>), OciPullError> {
        let parts = match &layers {
            Layers::Remote { blobs, .. } => blobs.iter().map(part_of).collect(),
            Layers::Local(_) => Vec::new(),
        };
        let told = LayerProgress::new(progress.clone(), parts, layers.size());
        let (sender, receiver) = channel();
        let (count, read) = (config.diff_ids.len(), told.read());
        let volumes = config.process.volumes.clone();
        let mut unpacking = pin!(run_blocking(move |cancelled| {
            let rootfs = Rootfs { path: staged.path().join(ROOTFS), count, volumes, allowance, read };
            let result = rootfs.write(&receiver, cancelled);
            (staged, result)
        }));
        let mut fetching = pin!(self.send_layers(layers, &config.diff_ids, &told, sender));
        tokio::select! {
            biased;
            // Before the last layer is here only an error ends it; then the rest need not come.
            ended = &mut unpacking => return told_or_incomplete(ended),
            fetched = &mut fetching => fetched?,
        }
        told_or_incomplete(told.while_unpacked(unpacking).await)
    }

    /// Sends the layers in their order, each as soon as it is here.
    async fn send_layers(
        &self,
        layers: Layers,
        diff_ids: &[BlobDigest],
        told: &LayerProgress,
        sender: Sender<Layer>,
    ) -> Result<(), OciPullError> {
        // Whoever takes no more layers has an error, and tells it.
        let send = |layer| drop(sender.send(layer));
        match layers {
            Layers::Local(layers) => {
                layers.into_iter().map(|layer| Layer { read: told.read(), ..layer }).for_each(send);
            }
            Layers::Remote { registry, blobs } => {
                let wanted: Vec<_> = blobs.into_iter().zip(diff_ids.iter().cloned()).collect();
                let fetches = wanted.into_iter().enumerate().map(|(number, (blob, diff_id))| {
                    let (cache, registry) = (Arc::clone(&self.cache), Arc::clone(&registry));
                    async move {
                        let file =
                            fetch(&cache, &registry, &blob, |bytes| told.fetched(number, bytes)).await?;
                        Ok::<_, OciPullError>(Layer {
                            file,
                            offset: 0,
                            size: blob.size,
                            unchecked: None,
                            diff_id,
                            read: told.read(),
                        })
                    }
                    .boxed()
                });
                let mut in_order = futures::stream::iter(fetches).buffered(FETCHES_MAX);
                while let Some(layer) = in_order.try_next().await? {
                    send(layer);
                }
            }
        }
        Ok(())
    }

    /// Forgets the cached blobs that explain an error. Tells whether there were any.
    pub(super) async fn evict_damaged(&self, error: &FlattenError, blobs: &[Descriptor]) -> bool {
        let FlattenError::Layer {
            source: LayerError::Read(LayerReadError::Read(_) | LayerReadError::WrongDigest { .. }),
            ..
        } = error
        else {
            return false;
        };
        let (cache, blobs) = (Arc::clone(&self.cache), blobs.to_vec());
        run_blocking(move |cancelled| {
            let mut is_damaged = false;
            for blob in blobs {
                let Ok(Some(file)) = cache.open(&blob.digest, blob.size) else { continue };
                let record = FileRecord::of_content(cancelled.reader(file));
                if record.is_ok_and(|record| record.sha256 != blob.digest.hex()) {
                    cache.evict(&blob.digest);
                    is_damaged = true;
                }
            }
            is_damaged
        })
        .await
    }
}

/// What is known of a root once it is written.
pub(super) struct RootFacts {
    pub(super) init: Option<String>,
    pub(super) left_out: LeftOut,
}

/// What became of the layers.
enum Written {
    Root(RootFacts),
    /// Not all of them came; whoever sent them knows why.
    NotAll,
}

fn told_or_incomplete(
    (staged, written): (StagedDirectory, Result<Written, FlattenError>),
) -> Result<(StagedDirectory, Result<RootFacts, FlattenError>), OciPullError> {
    match written {
        Ok(Written::Root(facts)) => Ok((staged, Ok(facts))),
        Ok(Written::NotAll) => Err(OciPullError::Incomplete),
        Err(error) => Ok((staged, Err(error))),
    }
}

fn part_of(blob: &Descriptor) -> StagePart {
    StagePart { label: blob.digest.short().to_owned(), done: 0, total: blob.size }
}

/// The root that is made of so many layers.
struct Rootfs {
    path: PathBuf,
    count: usize,
    /// Directories that it has in any case.
    volumes: Vec<String>,
    allowance: Allowance,
    /// How much of all layers is read.
    read: Arc<AtomicU64>,
}

impl Rootfs {
    /// Writes it from layers as they come.
    fn write(&self, layers: &Receiver<Layer>, cancelled: &Cancelled) -> Result<Written, FlattenError> {
        let failed = |source| FlattenError::write(&self.path, source);
        let options = format_options("banger-root", ROOTFS_BYTES_MAX, Journal::None);
        let now = options.created_at;
        let mut writer = Ext4Writer::create(&self.path, options).map_err(failed)?;
        let (mut last, mut left_out) = (None, LeftOut::default());
        for _ in 0..self.count {
            let Ok(layer) = layers.recv() else { return Ok(Written::NotAll) };
            let digest = layer.diff_id.clone();
            // The same layer over itself changes nothing; its bytes were checked the first time.
            if last.as_ref() == Some(&digest) && layer.unchecked.is_none() {
                self.read.fetch_add(layer.size, Ordering::Relaxed);
                continue;
            }
            last = Some(digest.clone());
            add_layer(&mut writer, layer, &self.allowance, &mut left_out, cancelled)
                .map_err(|source| FlattenError::Layer { layer: digest, source })?;
        }
        let init = complete(&mut writer, &self.volumes, now).map_err(failed)?;
        self.allowance.check_end(&writer).map_err(FlattenError::Limit)?;
        writer.finish_shrunk(0).map_err(failed)?;
        Ok(Written::Root(RootFacts { init, left_out }))
    }
}
