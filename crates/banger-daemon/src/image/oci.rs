//! Container images: pulling one, and the cache of what registries gave.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use banger_api::{CreateVm, OperationKind, OperationView, PruneCache, PrunedCache, PullImage};
use banger_image::{
    ArchiveInput, ImageService, OciPull, OciSource, PlainHttp, Prune, PullError, Replace, kernel_catalog,
};
use banger_model::{ArtifactKind, ImageName, KernelName};

use super::error::ImageOperationError;
use super::images::{ImageOperations, get_kernel};
use super::work::{finish, progress_of};
use crate::boot_source::WantedImage;

impl ImageOperations {
    /// Begins to pull a container image.
    pub(super) fn pull_from_elsewhere(
        &self,
        request: &PullImage,
    ) -> Result<OperationView, ImageOperationError> {
        let kernel = self.kernel(request.kernel.as_ref())?;
        let source = source_of(request)?;
        let input = input_of(request, &source)?;
        if request.name.is_none() && source.may_name_its_image() {
            return Ok(self.pull_unnamed(source, input, kernel, request));
        }
        let mut wanted = oci_pull(request, kernel)?;
        if request.kernel.is_none() && !request.force {
            wanted.kernel = kernel_of(&self.images, &wanted.name).unwrap_or(wanted.kernel);
        }
        self.images.check_oci_name(&wanted).map_err(ImageOperationError::Pull)?;
        let replace = self.replace(&wanted.name, request.force)?;
        Ok(self.begin_pull(&wanted.name.clone(), move |images, progress| {
            Box::pin(async move { images.pull_oci(&wanted, replace, progress).await })
        }))
    }

    /// Begins to pull an archive, whose name may be in it: the operation finds out what it is about.
    fn pull_unnamed(
        &self,
        source: OciSource,
        input: Option<PathBuf>,
        kernel: KernelName,
        request: &PullImage,
    ) -> OperationView {
        let images = Arc::clone(&self.images);
        let (force, bytes_max, target) = (request.force, request.max_bytes, source.to_string());
        let keeps_kernel = request.kernel.is_none() && !force;
        self.operations.begin(OperationKind::ImagePull, &target, |task| {
            finish(async move {
                let progress = progress_of(&task);
                let pulled = async {
                    let (input, name) = images.name_archive(&source, input, bytes_max, &progress).await?;
                    task.set_target(name.as_str());
                    let kept = if keeps_kernel { kernel_of(&images, &name) } else { None };
                    let kernel = kept.unwrap_or(kernel);
                    let wanted = OciPull { bytes_max, input, ..OciPull::of(source, name, kernel) };
                    if force {
                        images.refuse_used_image(&wanted.name)?;
                    }
                    let image = images.pull_oci(&wanted, Replace::when(force), &progress).await?;
                    get_kernel(&images, &image, &progress).await
                };
                task.unless_cancelled(pulled).await?.map_err(ImageOperationError::Pull)
            })
        })
    }

    /// Empties the cache of what registries gave, or tells what that would remove.
    ///
    /// # Errors
    /// [`ImageOperationError::Cache`].
    pub async fn prune_cache(&self, request: PruneCache) -> Result<PrunedCache, ImageOperationError> {
        let prune = if request.dry_run { Prune::DryRun } else { Prune::Remove };
        let pruned = self.images.prune_cache(prune).await.map_err(ImageOperationError::Cache)?;
        Ok(PrunedCache { blobs: pruned.blobs, bytes: pruned.bytes })
    }

    /// Returns the kernel that is meant. One that is neither here nor to be had is refused before anything is pulled.
    pub(super) fn kernel(&self, wanted: Option<&KernelName>) -> Result<KernelName, ImageOperationError> {
        let catalog = self.images.available_kernels();
        match wanted {
            None => {
                let first = catalog.first().map(|entry| entry.name.clone());
                first.ok_or_else(|| unknown("debian-12".to_owned()))
            }
            Some(name) => {
                let is_in_catalog = catalog.iter().any(|entry| entry.name == *name);
                let is_here = matches!(self.images.kernels().get(name), Ok(Some(_)));
                if is_in_catalog || is_here { Ok(name.clone()) } else { Err(unknown(name.to_string())) }
            }
        }
    }
}

/// Returns the image that a new VM is to have.
pub(crate) fn wanted_image(
    request: &CreateVm,
    default: &ImageName,
) -> Result<WantedImage, ImageOperationError> {
    let when = request.pull;
    match (&request.image, &request.image_source) {
        (Some(_), Some(_)) => Err(ImageOperationError::TwoImages),
        (None, Some(source)) => {
            let first = kernel_catalog().into_iter().next().map(|entry| entry.name);
            let kernel = source.kernel.clone().or(request.kernel.clone()).or(first);
            let kernel = kernel.ok_or(ImageOperationError::NoKernel)?;
            let pull = Box::new(oci_pull(source, kernel)?);
            let is_bare = source.name.is_none() && source.source.parse::<ImageName>().is_ok();
            Ok(if is_bare { WantedImage::Bare(pull, when) } else { WantedImage::From(pull, when) })
        }
        (name, None) => Ok(WantedImage::Named(name.as_ref().unwrap_or(default).clone(), when)),
    }
}

fn source_of(request: &PullImage) -> Result<OciSource, ImageOperationError> {
    request.source.parse().map_err(ImageOperationError::Source)
}

/// Returns the file that stands for `-` in the source; nothing where that has a path of its own.
fn input_of(request: &PullImage, source: &OciSource) -> Result<Option<PathBuf>, ImageOperationError> {
    let source_text = source.to_string();
    match (request.input.as_ref().map(|path| path.as_path().to_owned()), source.is_standard_input()) {
        (None, true) => Err(ImageOperationError::NoInput { source_text }),
        (Some(_), false) => Err(ImageOperationError::NeedlessInput { source_text }),
        (input, _) => Ok(input),
    }
}

fn oci_pull(request: &PullImage, kernel: KernelName) -> Result<OciPull, ImageOperationError> {
    let source = source_of(request)?;
    let input = input_of(request, &source)?;
    let name = match &request.name {
        Some(name) => name.clone(),
        None => source.default_name().map_err(|error| ImageOperationError::NoName {
            source_text: source.to_string(),
            source: error,
        })?,
    };
    Ok(OciPull {
        input: input.map(ArchiveInput::at),
        is_named_by_archive: request.name.is_none() && source.may_name_its_image(),
        plain_http: if request.insecure_http { PlainHttp::Allowed } else { PlainHttp::OnLoopback },
        search_path: request.search_path.as_ref().map(OsString::from),
        docker_directory: request.docker_config.clone().map(Into::into),
        bytes_max: request.max_bytes,
        ..OciPull::of(source, name, kernel)
    })
}

/// Returns the kernel of a local image: an update keeps it.
fn kernel_of(images: &ImageService, name: &ImageName) -> Option<KernelName> {
    images.images().get(name).ok().flatten().map(|image| image.manifest.kernel)
}

fn unknown(name: String) -> ImageOperationError {
    ImageOperationError::Pull(PullError::NotInCatalog { kind: ArtifactKind::Kernel, name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_alone_may_be_that_of_a_local_image() {
        let is_bare = |source: &str| {
            let source = PullImage { source: source.to_owned(), ..PullImage::default() };
            let request = CreateVm { image_source: Some(source), ..CreateVm::default() };
            let default = "debian-bookworm".parse().unwrap();
            matches!(wanted_image(&request, &default).unwrap(), WantedImage::Bare(..))
        };
        assert!(is_bare("alpine") && is_bare("debian-bookworm"));
        for source in ["alpine:3.20", "library/alpine", "docker.io/alpine", "docker-archive:/x.tar:alpine"] {
            assert!(!is_bare(source), "{source}");
        }
    }
}
