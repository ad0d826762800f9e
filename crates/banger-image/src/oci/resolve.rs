//! From what a user names to an image whose config is known and whose layers are to be had: in a registry through lists of
//! images, or in a layout or an archive of this host.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use banger_model::ImageName;
use banger_sys::blocking::{Cancelled, run_blocking};
use banger_sys::files::create_private_directory;

use super::archive::Scratch;
use super::certificates;
use super::credentials;
use super::digest::BlobDigest;
use super::documents::{ConfigDocument, Descriptor, Document, DocumentError, ImageDocument, Search};
use super::download::fetch;
use super::endpoint::RegistryOptions;
use super::images::OciImages;
use super::layer::Layer;
use super::local::{ArchiveInput, Input, Local, Place, open_archive, open_layout};
use super::local_image::{LocalImage, LocalImageError};
use super::platform::Platform;
use super::pull_error::OciPullError;
use super::reference::Reference;
use super::registry::{RawManifest, Registry};
use super::registry_error::RegistryError;
use super::source::{OciSource, local_name};
use super::wanted::OciPull;
use crate::limits::Allowance;
use crate::progress::Progress;

/// Larger than any config that was ever seen.
const CONFIG_BYTES_MAX: u64 = 8 << 20;

/// An image whose config is known and whose layers are to be had.
pub(super) struct Resolved {
    pub(super) config: ConfigDocument,
    pub(super) digest: BlobDigest,
    pub(super) layers: Layers,
}

pub(super) enum Layers {
    Remote { registry: Arc<Registry>, blobs: Vec<Descriptor> },
    Local(Vec<Layer>),
}

impl Layers {
    /// Returns the size of all, in bytes as they are stored.
    pub(super) fn size(&self) -> u64 {
        let sum = |sizes: &mut dyn Iterator<Item = u64>| sizes.fold(0, u64::saturating_add);
        match self {
            Self::Remote { blobs, .. } => sum(&mut blobs.iter().map(|blob| blob.size)),
            Self::Local(layers) => sum(&mut layers.iter().map(|layer| layer.size)),
        }
    }
}

impl OciImages {
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

    /// Returns the pull with its layout or archive open.
    pub(crate) async fn open(
        &self,
        wanted: &OciPull,
        directory: &Path,
        progress: &Progress,
    ) -> Result<OciPull, OciPullError> {
        let mut wanted = wanted.clone();
        if let Ok((open, path, _)) = of_this_host(&wanted.source) {
            let local = self.local(&wanted, (open, path), directory, progress).await?;
            wanted.input = Some(ArchiveInput(Input::Opened(local)));
        }
        Ok(wanted)
    }

    pub(super) async fn resolve(
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
        let local = self.local(wanted, (open, path), staged, progress).await?;
        let image = run_blocking(move |_| local.image(name.as_deref(), &platform));
        let LocalImage { config, layers, digest } = image.await.map_err(OciPullError::Local)?;
        Ok(Resolved { config, digest, layers: Layers::Local(layers) })
    }

    /// Returns the layout or archive, opened now or before.
    async fn local(
        &self,
        wanted: &OciPull,
        (open, path): (OpenLocal, PathBuf),
        directory: &Path,
        progress: &Progress,
    ) -> Result<Arc<Local>, OciPullError> {
        let file = match &wanted.input {
            Some(ArchiveInput(Input::Opened(local))) => return Ok(Arc::clone(local)),
            Some(ArchiveInput(Input::File(file))) => file.clone(),
            None => path.clone(),
        };
        self.open_local(open, Place { path, file }, (directory, wanted.bytes_max), progress).await
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

    pub(super) async fn resolve_remote(
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
            let (wanted, found) = (build.size, manifest.text.len() as u64);
            if found != wanted {
                let source = DocumentError::WrongSize { digest: build.digest, wanted, found };
                return Err(OciPullError::Registry(unusable(&registry, source)));
            }
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
