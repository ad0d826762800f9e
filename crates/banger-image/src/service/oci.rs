//! Images from registries, layouts and archives, and the cache of their blobs.

use std::path::PathBuf;
use std::sync::Arc;

use banger_model::ImageName;
use banger_sys::blocking::run_blocking;
use banger_sys::files::StagedDirectory;

use super::ImageService;
use crate::image::Image;
use crate::oci::{ArchiveInput, CacheError, OciPull, OciPullError, OciSource, Prune, Pruned};
use crate::progress::Progress;
use crate::pull::{Build, PullError, Replace};

/// What counts is asked again when the layers are known.
pub(super) const OCI_BYTES_NEEDED: u64 = 64 << 20;

impl ImageService {
    /// Pulls an image from a registry, a layout or an archive. If the local image of this name is what the source has now, it
    /// stays, with a note; if the source has a newer one, that replaces it. Dropping the future gives up; what was fetched
    /// stays in the cache.
    ///
    /// # Errors
    /// [`PullError::NameTaken`] by an image of another source, unless it may be replaced; [`PullError::NameOfCatalog`] before anything is made.
    pub async fn pull_oci(
        &self,
        wanted: &OciPull,
        replace: Replace,
        progress: &Progress,
    ) -> Result<Image, PullError> {
        self.check_oci_name(wanted)?;
        if replace == Replace::Never {
            return self.update_oci(wanted, progress).await;
        }
        let build: Build<'_> = Box::new(move |staged| Box::pin(self.build_oci(wanted, staged, progress)));
        self.images.import(OCI_BYTES_NEEDED, &wanted.name, replace, build).await
    }

    /// Opens a layout or an archive, and returns the name that its image carries, else the one that its file gives it.
    /// `input` is the file that stands for standard input.
    ///
    /// # Errors
    /// [`PullError::Oci`], [`PullError::Input`]; [`PullError::Unnamed`] when there is neither.
    pub async fn name_archive(
        &self,
        source: &OciSource,
        input: Option<PathBuf>,
        bytes_max: Option<u64>,
        progress: &Progress,
    ) -> Result<(Option<ArchiveInput>, ImageName), PullError> {
        progress.stage("read archive", source.to_string());
        let directory = self.images.store.directory();
        let opened = self.oci.name_archive(source, input, (directory, bytes_max), progress).await;
        let of_file = source.default_name().ok();
        match (opened, of_file) {
            (Ok((input, Some(name))), _) | (Ok((input, None)), Some(name)) => Ok((input, name)),
            (Ok((_, None)), None) => Err(PullError::Unnamed { source_text: source.to_string() }),
            (Err(error), Some(name)) => {
                Err(PullError::Oci { name: name.to_string(), source: Box::new(error) })
            }
            (Err(error), None) => Err(PullError::Input { source: Box::new(error) }),
        }
    }

    /// Refuses a name that is one of the catalog's: who asks for that name later would get something else.
    ///
    /// # Errors
    /// [`PullError::NameOfCatalog`].
    pub fn check_oci_name(&self, wanted: &OciPull) -> Result<(), PullError> {
        self.check_name(&wanted.name)
    }

    pub(super) async fn build_oci(
        &self,
        wanted: &OciPull,
        staged: StagedDirectory,
        progress: &Progress,
    ) -> Result<StagedDirectory, PullError> {
        let built = self.oci.build(wanted, staged, progress).await;
        built.map_err(|error| of_oci(wanted, error))
    }

    /// Counts what pulls have left in the cache, and removes it unless it is only to be looked at. Pulls that run right
    /// now keep what they need.
    ///
    /// # Errors
    /// [`CacheError`].
    pub async fn prune_cache(&self, prune: Prune) -> Result<Pruned, CacheError> {
        let cache = Arc::clone(self.oci.cache());
        run_blocking(move |_| cache.prune(prune)).await
    }
}

pub(super) fn of_oci(wanted: &OciPull, error: OciPullError) -> PullError {
    PullError::Oci { name: wanted.name.to_string(), source: Box::new(error) }
}
