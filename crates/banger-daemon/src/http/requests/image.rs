//! Images that are asked for.

use std::ffi::OsString;
use std::path::PathBuf;

use banger_api::{PullBundle, PullImage, RegisterImage};
use banger_image::{BundleLocation, BundlePull, PlainHttp};

use crate::image::{ImageOperationError, ImageWish, KernelWish, RegistrationWish};

/// Returns the image that is to be pulled.
pub(in crate::http) fn image_wish(request: PullImage) -> Result<ImageWish, ImageOperationError> {
    Ok(ImageWish {
        bare_name: request.source.parse().ok(),
        source: request.source.parse().map_err(ImageOperationError::Source)?,
        input: request.input.map(PathBuf::from),
        name: request.name,
        kernel: request.kernel,
        force: request.force,
        plain_http: if request.insecure_http { PlainHttp::Allowed } else { PlainHttp::OnLoopback },
        docker_directory: request.docker_config.map(PathBuf::from),
        search_path: request.search_path.map(OsString::from),
        bytes_max: request.max_bytes,
    })
}

/// Returns the bundle that is to be pulled.
pub(in crate::http) fn bundle_pull(request: PullBundle) -> Result<BundlePull, ImageOperationError> {
    let location: BundleLocation = request.location.parse().map_err(ImageOperationError::Location)?;
    let name = match request.name {
        Some(name) => name,
        None => location.stem().parse().map_err(|source| ImageOperationError::NoName {
            source_text: format!("--bundle {location}"),
            source,
        })?,
    };
    let key = request.minisign_key.map(|key| key.parse()).transpose();
    Ok(BundlePull {
        location,
        name,
        kernel: request.kernel,
        sha256: request.sha256,
        key: key.map_err(ImageOperationError::MinisignKey)?,
        bytes_max: request.max_bytes,
    })
}

/// Returns the image that is to be registered.
pub(in crate::http) fn registration(request: RegisterImage) -> Result<RegistrationWish, ImageOperationError> {
    let RegisterImage { name, rootfs, work_seed, kernel_ref, kernel, initrd, modules, force } = request;
    let kernel = match (kernel_ref, kernel) {
        (Some(_), Some(_)) => return Err(ImageOperationError::TwoKernels),
        (None, Some(kernel)) => KernelWish::Files {
            kernel: kernel.into(),
            initrd: initrd.map(PathBuf::from),
            modules: modules.map(PathBuf::from),
        },
        (_, None) if initrd.is_some() || modules.is_some() => return Err(ImageOperationError::NoKernelFile),
        (Some(kernel), None) => KernelWish::Named(kernel),
        (None, None) => return Err(ImageOperationError::NoKernel),
    };
    Ok(RegistrationWish {
        name,
        rootfs: rootfs.into(),
        work_seed: work_seed.map(PathBuf::from),
        kernel,
        force,
    })
}
