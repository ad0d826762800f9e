//! A pull from its source to a whole image in a staging directory: layers come at the same time, and each is unpacked as
//! soon as it and those below it are here.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use banger_ext4::{Ext4Reader, Ext4Writer, Journal};
use banger_fetch::Patience;
use banger_model::{Hint, ImageName, KernelName};
use banger_sys::blocking::{Cancelled, run_blocking};
use banger_sys::files::{FileError, StagedDirectory, create_private_directory};
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};

use super::archive::Scratch;
use super::cache::{BlobCache, CacheError};
use super::certificates;
use super::credentials::{self, CredentialsError};
use super::digest::BlobDigest;
use super::documents::{ConfigDocument, Descriptor, Document, DocumentError, ImageDocument, Search};
use super::download::{DownloadError, below_floor, fetch};
use super::endpoint::{PlainHttp, RegistryOptions};
use super::flatten::{FlattenError, LayerError, add_layer};
use super::layer::{Layer, LayerReadError};
use super::layer_progress::LayerProgress;
use super::left_out::LeftOut;
use super::local::{ArchiveInput, Input, Local, Place, open_archive, open_layout};
use super::local_image::{LocalImage, LocalImageError};
use super::platform::Platform;
use super::reference::Reference;
use super::registry::{RawManifest, Registry};
use super::registry_error::RegistryError;
use super::source::{OciSource, local_name};
use super::system::{complete, init_of, process_of};
use crate::artifact::digest::FileRecord;
use crate::image::{
    AuthorizedKey, FinishError, ImageFacts, ROOTFS, distro_of, finish_image, format_options, record_rootfs,
};
use crate::limits::{Allowance, OverLimit, check_floor};
use crate::progress::{Progress, StagePart};
use crate::pull_rules::PullRules;

/// Layers that are fetched at the same time.
const FETCHES_MAX: usize = 4;
/// Larger than any config that was ever seen.
const CONFIG_BYTES_MAX: u64 = 8 << 20;
/// Upper bound while it is written; the finished root is as large as its content.
const ROOTFS_BYTES_MAX: u64 = 256 << 30;
/// Layers unpack to two or three times their size; less than this cannot be enough.
const UNPACKED_RATIO_MIN: u64 = 2;
/// A layer that the cache had and that turned out to be damaged is fetched again, once.
const TRIES_MAX: u32 = 2;

/// What to pull.
#[derive(Clone, Debug)]
pub struct OciPull {
    /// From where.
    pub source: OciSource,
    /// The file that stands for `-` in the source.
    pub input: Option<ArchiveInput>,
    /// What the local image is called.
    pub name: ImageName,
    /// A layout or archive that names its image gives it that name in place of `name`.
    pub is_named_by_archive: bool,
    /// The kernel that its VMs boot where nobody names another.
    pub kernel: KernelName,
    /// Whether the registry may be asked without TLS.
    pub plain_http: PlainHttp,
    /// Where docker's configuration is; none means where docker looks for it.
    pub docker_directory: Option<PathBuf>,
    /// The `PATH` of whoever asks, where docker's credential helpers are; none means ours.
    pub search_path: Option<OsString>,
    /// Bytes that it may unpack to, where other than the rules say.
    pub bytes_max: Option<u64>,
}

impl OciPull {
    /// A pull with nothing out of the ordinary.
    #[must_use]
    pub fn of(source: OciSource, name: ImageName, kernel: KernelName) -> Self {
        Self {
            source,
            input: None,
            name,
            is_named_by_archive: false,
            kernel,
            plain_http: PlainHttp::default(),
            docker_directory: None,
            search_path: None,
            bytes_max: None,
        }
    }
}

/// Why an image could not be pulled.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum OciPullError {
    #[error("cannot read the credentials for the registry")]
    Credentials(#[source] CredentialsError),
    #[error(transparent)]
    Registry(RegistryError),
    #[error(transparent)]
    Local(LocalImageError),
    #[error(transparent)]
    Directory(FileError),
    #[error(transparent)]
    Cache(CacheError),
    #[error("cannot write a layer into the cache")]
    Write(#[source] io::Error),
    #[error("the image is larger than allowed")]
    Limit(#[source] OverLimit),
    #[error("cannot build a root file system from the image's layers")]
    Flatten(#[source] FlattenError),
    #[error(transparent)]
    Finish(FinishError),
    #[error("the layers ended before the last one")]
    Incomplete,
}

impl OciPullError {
    /// What to type or do next, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<Hint> {
        match self {
            Self::Registry(error) => error.hint(),
            Self::Local(error) => error.hint(),
            Self::Limit(over) => over.hint(),
            Self::Flatten(error) => error.hint(),
            Self::Write(error) => below_floor(error).map(|_| Hint::FreeSpace),
            Self::Credentials(error) => error.hint(),
            Self::Directory(_) | Self::Cache(_) | Self::Finish(_) | Self::Incomplete => None,
        }
    }
}

impl From<DownloadError> for OciPullError {
    fn from(error: DownloadError) -> Self {
        match error {
            DownloadError::Registry(error) => Self::Registry(error),
            DownloadError::Cache(error) => Self::Cache(error),
            DownloadError::Write(error) => Self::Write(error),
        }
    }
}

/// Images from registries, layouts and archives, which let this key in.
#[derive(Debug)]
pub(crate) struct OciImages {
    cache: Arc<BlobCache>,
    key: Arc<AuthorizedKey>,
    patience: Patience,
    rules: PullRules,
}

/// An image whose config is known and whose layers are to be had.
struct Resolved {
    config: ConfigDocument,
    digest: BlobDigest,
    layers: Layers,
}

enum Layers {
    Remote { registry: Arc<Registry>, blobs: Vec<Descriptor> },
    Local(Vec<Layer>),
}

impl Layers {
    /// Returns the size of all, in bytes as they are stored.
    fn size(&self) -> u64 {
        let sum = |sizes: &mut dyn Iterator<Item = u64>| sizes.fold(0, u64::saturating_add);
        match self {
            Self::Remote { blobs, .. } => sum(&mut blobs.iter().map(|blob| blob.size)),
            Self::Local(layers) => sum(&mut layers.iter().map(|layer| layer.size)),
        }
    }
}

impl OciImages {
    /// With a cache in this directory.
    pub(crate) fn new(cache: PathBuf, key: Arc<AuthorizedKey>) -> Self {
        Self {
            cache: Arc::new(BlobCache::new(cache)),
            key,
            patience: Patience::default(),
            rules: PullRules::default(),
        }
    }

    /// From now on, pulls keep to these rules.
    pub(crate) fn set_rules(&mut self, rules: PullRules) {
        let home = self.cache.home().to_owned();
        self.cache = Arc::new(BlobCache::new(home).keeping(rules.floor));
        self.rules = rules;
    }

    #[cfg(test)]
    pub(crate) fn set_patience(&mut self, patience: Patience) {
        self.patience = patience;
    }

    /// What pulls have left for later ones.
    pub(crate) fn cache(&self) -> &Arc<BlobCache> {
        &self.cache
    }

    /// Fills a staging directory with an image, down to the manifest. Dropping the future gives up; what was fetched
    /// stays in the cache.
    pub(crate) async fn build(
        &self,
        wanted: &OciPull,
        mut staged: StagedDirectory,
        progress: &Progress,
    ) -> Result<StagedDirectory, OciPullError> {
        let mut tries = 0;
        loop {
            tries += 1;
            progress.stage("resolve image", wanted.source.to_string());
            let Resolved { config, digest, layers } = self.resolve(wanted, staged.path(), progress).await?;
            let blobs = match &layers {
                Layers::Remote { blobs, .. } => blobs.clone(),
                Layers::Local(_) => Vec::new(),
            };
            let allowance = self.allowance(wanted, &layers, staged.path())?;
            let (back, flattened) =
                self.flatten(layers, &config.diff_ids, (staged, allowance), progress).await?;
            staged = back;
            match flattened {
                Ok(root) => return self.finish(wanted, staged, config, &digest, root, progress).await,
                Err(error) if tries < TRIES_MAX && self.evict_damaged(&error, &blobs).await => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a damaged layer is fetched again"
                    );
                }
                Err(error) => return Err(OciPullError::Flatten(error)),
            }
        }
    }

    /// Returns the digest of the image that a registry has now; nothing for sources on this host.
    pub(crate) async fn digest(
        &self,
        wanted: &OciPull,
        progress: &Progress,
    ) -> Result<Option<BlobDigest>, OciPullError> {
        let OciSource::Registry(reference) = &wanted.source else { return Ok(None) };
        progress.stage("resolve image", wanted.source.to_string());
        let resolved = self.resolve_remote(reference, wanted, &Platform::of_guests()).await?;
        Ok(Some(resolved.digest))
    }

    /// Opens a layout or an archive and returns the name that its image carries, if it does. `input` is the file that stands
    /// for standard input. A compressed archive is unpacked into a file without a name in the directory, and only this once.
    pub(crate) async fn name_archive(
        &self,
        source: &OciSource,
        input: Option<PathBuf>,
        (directory, bytes_max): (&Path, Option<u64>),
        progress: &Progress,
    ) -> Result<(Option<ArchiveInput>, Option<ImageName>), OciPullError> {
        let Ok((open, path, name)) = of_this_host(source) else {
            return Ok((None, None));
        };
        create_private_directory(directory).map_err(OciPullError::Directory)?;
        let place = Place { file: input.unwrap_or_else(|| path.clone()), path };
        let local = self.open_local(open, place, (directory, bytes_max), progress).await?;
        let opened = Arc::clone(&local);
        let names = run_blocking(move |_| opened.names(name.as_deref(), &Platform::of_guests()));
        let name = local_name(&names.await.map_err(OciPullError::Local)?);
        Ok((Some(ArchiveInput(Input::Opened(local))), name))
    }

    async fn resolve(
        &self,
        wanted: &OciPull,
        staged: &Path,
        progress: &Progress,
    ) -> Result<Resolved, OciPullError> {
        let platform = Platform::of_guests();
        let (open, path, name) = match of_this_host(&wanted.source) {
            Ok(local) => local,
            Err(reference) => return self.resolve_remote(reference, wanted, &platform).await,
        };
        let local = match &wanted.input {
            Some(ArchiveInput(Input::Opened(local))) => Arc::clone(local),
            Some(ArchiveInput(Input::File(file))) => {
                let place = Place { path, file: file.clone() };
                self.open_local(open, place, (staged, wanted.bytes_max), progress).await?
            }
            None => {
                let place = Place { file: path.clone(), path };
                self.open_local(open, place, (staged, wanted.bytes_max), progress).await?
            }
        };
        let image = run_blocking(move |_| local.image(name.as_deref(), &platform));
        let LocalImage { config, layers, digest } = image.await.map_err(OciPullError::Local)?;
        Ok(Resolved { config, digest, layers: Layers::Local(layers) })
    }

    async fn open_local(
        &self,
        open: OpenLocal,
        place: Place,
        (directory, bytes_max): (&Path, Option<u64>),
        progress: &Progress,
    ) -> Result<Arc<Local>, OciPullError> {
        let (limits, floor) = (self.rules.limits.with_bytes_max(bytes_max), self.rules.floor);
        let (directory, progress) = (directory.to_owned(), progress.clone());
        let local = run_blocking(move |cancelled| {
            let allowance = |packed| Allowance::new(limits, floor, directory.clone(), packed);
            let scratch = Scratch { directory: &directory, allowance: &allowance, progress: &progress };
            open(&place, &scratch, cancelled)
        });
        local.await.map(Arc::new).map_err(OciPullError::Local)
    }

    async fn resolve_remote(
        &self,
        reference: &Reference,
        wanted: &OciPull,
        platform: &Platform,
    ) -> Result<Resolved, OciPullError> {
        let directory = wanted.docker_directory.clone().or_else(credentials::docker_directory);
        let credentials = match directory {
            Some(directory) => {
                let search_path = wanted.search_path.as_deref();
                let store = credentials::Store { directory: &directory, search_path };
                credentials::find(store, reference.registry(), reference.repository()).await
            }
            None => Ok(credentials::Credentials::Anonymous),
        };
        let options = RegistryOptions {
            plain_http: wanted.plain_http,
            patience: self.patience,
            certificates: certificates::directories(),
            trusted: self.rules.trusted.clone(),
        };
        let credentials = credentials.map_err(OciPullError::Credentials)?;
        let registry = Arc::new(Registry::of(reference, credentials, &options));
        let first = registry.manifest(&reference.target()).await.map_err(OciPullError::Registry)?;
        self.find_image(registry, first, platform).await
    }

    /// Finds the image for a platform behind a manifest, through lists of images.
    async fn find_image(
        &self,
        registry: Arc<Registry>,
        first: RawManifest,
        platform: &Platform,
    ) -> Result<Resolved, OciPullError> {
        let (mut search, mut manifest) = (Search::among([]), first);
        loop {
            let error = match self.look(&registry, &manifest, &mut search, platform).await {
                Ok(Some((config, blobs))) => {
                    let layers = Layers::Remote { registry, blobs };
                    return Ok(Resolved { config, digest: manifest.digest, layers });
                }
                Ok(None) => unusable(&registry, DocumentError::NotAnImage),
                Err(OciPullError::Registry(RegistryError::Document { registry, source }))
                    if search.goes_on_after(&source) =>
                {
                    RegistryError::Document { registry, source }
                }
                Err(error) => return Err(error),
            };
            let Some(build) = search.next() else { return Err(OciPullError::Registry(error)) };
            manifest = registry.manifest(&build.digest.to_string()).await.map_err(OciPullError::Registry)?;
        }
    }

    /// Returns an image's config and layers, or adds what a list has to the search.
    async fn look(
        &self,
        registry: &Arc<Registry>,
        manifest: &RawManifest,
        search: &mut Search,
        platform: &Platform,
    ) -> Result<Option<(ConfigDocument, Vec<Descriptor>)>, OciPullError> {
        let failed = |source| OciPullError::Registry(unusable(registry, source));
        match Document::parse(&manifest.text).map_err(failed)? {
            Document::Index(builds) => search.enter(&builds, platform).map(|()| None).map_err(failed),
            Document::Image(image) => {
                let config = self.fetch_config(registry, &image, platform).await?;
                Ok(Some((config, image.layers)))
            }
        }
    }

    async fn fetch_config(
        &self,
        registry: &Arc<Registry>,
        image: &ImageDocument,
        platform: &Platform,
    ) -> Result<ConfigDocument, OciPullError> {
        if image.config.size > CONFIG_BYTES_MAX {
            return Err(OciPullError::Registry(registry.too_large("config", CONFIG_BYTES_MAX)));
        }
        let file = fetch(&self.cache, registry, &image.config, |_| {}).await?;
        let text = read_whole(file).map_err(OciPullError::Write)?;
        ConfigDocument::parse(&text, image.layers.len(), platform)
            .map_err(|source| unusable(registry, source))
            .map_err(OciPullError::Registry)
    }

    /// Refuses before anything is fetched what cannot fit, and returns what the rest may take.
    fn allowance(&self, wanted: &OciPull, layers: &Layers, staged: &Path) -> Result<Allowance, OciPullError> {
        let sum = |sizes: &mut dyn Iterator<Item = u64>| sizes.fold(0, u64::saturating_add);
        let (missing, all) = match layers {
            Layers::Remote { blobs, .. } => {
                // One that is named twice is fetched once.
                let blobs: BTreeMap<_, _> = blobs.iter().map(|blob| (&blob.digest, blob.size)).collect();
                let is_missing =
                    |digest: &BlobDigest, size| !matches!(self.cache.open(digest, size), Ok(Some(_)));
                let missing = blobs.iter().filter(|(digest, size)| is_missing(digest, **size));
                (sum(&mut missing.map(|(_, size)| *size)), sum(&mut blobs.values().copied()))
            }
            Layers::Local(_) => (0, layers.size()),
        };
        let limits = self.rules.limits.with_bytes_max(wanted.bytes_max);
        if all > limits.unpacked_bytes_max {
            let bytes_max = limits.unpacked_bytes_max;
            return Err(OciPullError::Limit(OverLimit::Bytes { bytes_max }));
        }
        let needed = missing.saturating_add(all.saturating_mul(UNPACKED_RATIO_MIN));
        match check_floor(self.rules.floor, staged, needed) {
            Err(below) => Err(OciPullError::Limit(OverLimit::Floor(below))),
            Ok(()) => Ok(Allowance::new(limits, self.rules.floor, staged.to_owned(), all)),
        }
    }

    /// Fetches and unpacks at the same time. The inner result is that of the unpacking.
    async fn flatten(
        &self,
        layers: Layers,
        diff_ids: &[BlobDigest],
        (staged, allowance): (StagedDirectory, Allowance),
        progress: &Progress,
    ) -> Result<(StagedDirectory, Result<RootFacts, FlattenError>), OciPullError> {
        let parts = match &layers {
            Layers::Remote { blobs, .. } => blobs.iter().map(part_of).collect(),
            Layers::Local(_) => Vec::new(),
        };
        let told = LayerProgress::new(progress.clone(), parts, layers.size());
        let (sender, receiver) = channel();
        let (count, read) = (diff_ids.len(), told.read());
        let mut unpacking = pin!(run_blocking(move |cancelled| {
            let rootfs = Rootfs { path: staged.path().join(ROOTFS), count, allowance, read };
            let result = rootfs.write(&receiver, cancelled);
            (staged, result)
        }));
        let mut fetching = pin!(self.send_layers(layers, diff_ids, &told, sender));
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
    async fn evict_damaged(&self, error: &FlattenError, blobs: &[Descriptor]) -> bool {
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

    async fn finish(
        &self,
        wanted: &OciPull,
        staged: StagedDirectory,
        config: ConfigDocument,
        digest: &BlobDigest,
        root: RootFacts,
        progress: &Progress,
    ) -> Result<StagedDirectory, OciPullError> {
        root.left_out.sentence().into_iter().for_each(|sentence| progress.note(sentence));
        progress.stage("create work-seed", "");
        let rootfs = Ext4Reader::open(&staged.path().join(ROOTFS)).ok();
        let process = process_of(config.process);
        let init = match &rootfs {
            Some(rootfs) => init_of(&process, rootfs, root.init),
            None => root.init,
        };
        let facts = ImageFacts {
            name: wanted.name.clone(),
            distro: rootfs.as_ref().map(distro_of).unwrap_or_default(),
            arch: Platform::of_guests().architecture().to_owned(),
            kernel: wanted.kernel.clone(),
            ready_ports: Vec::new(),
            init,
            process: Some(process),
            packages: Vec::new(),
            origin: format!("{} ({digest})", wanted.source),
        };
        let key = Arc::clone(&self.key);
        run_blocking(move |_| {
            let rootfs = record_rootfs(&staged)?;
            finish_image(staged, facts, rootfs, &key)
        })
        .await
        .map_err(OciPullError::Finish)
    }
}

/// Opens a layout or an archive of this host.
type OpenLocal = fn(&Place, &Scratch<'_>, &Cancelled) -> Result<Local, LocalImageError>;

/// Returns how a source of this host is opened, where it is, and which image of it is meant; the reference of any other one.
fn of_this_host(source: &OciSource) -> Result<(OpenLocal, PathBuf, Option<String>), &Reference> {
    match source {
        OciSource::Registry(reference) => Err(reference),
        OciSource::Layout { path, tag, .. } => Ok((open_layout, path.clone(), tag.clone())),
        OciSource::Archive { file, name } => Ok((open_archive, file.clone(), name.clone())),
    }
}

/// What is known of a root once it is written.
struct RootFacts {
    init: Option<String>,
    left_out: LeftOut,
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

fn unusable(registry: &Registry, source: DocumentError) -> RegistryError {
    RegistryError::Document { registry: registry.name().to_owned(), source }
}

fn read_whole(mut file: File) -> io::Result<Vec<u8>> {
    use io::{Read as _, Seek as _};
    let mut text = Vec::new();
    file.seek(io::SeekFrom::Start(0))?;
    file.read_to_end(&mut text)?;
    Ok(text)
}

/// The root that is made of so many layers.
struct Rootfs {
    path: PathBuf,
    count: usize,
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
        let init = complete(&mut writer, now).map_err(failed)?;
        self.allowance.check_end(&writer).map_err(FlattenError::Limit)?;
        writer.finish_shrunk(0).map_err(failed)?;
        Ok(Written::Root(RootFacts { init, left_out }))
    }
}

#[cfg(test)]
#[path = "pull_tests.rs"]
mod tests;
