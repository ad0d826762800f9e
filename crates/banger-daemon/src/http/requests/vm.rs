//! VMs that are asked for, and changes of them.

use banger_api::{CreateVm, SetVm};
use banger_image::kernel_catalog;
use banger_model::ImageName;
use banger_sys::id::hex;
use banger_sys::process::ProcessIdentity;
use sha2::{Digest as _, Sha256};

use super::image::image_wish;
use crate::boot_source::WantedImage;
use crate::image::ImageOperationError;
use crate::operation::RequestKey;
use crate::vm::{NewVm, VmChange};

/// Returns the VM that is wanted; of this image if the request names none.
pub(in crate::http) fn new_vm(request: CreateVm, default: &ImageName) -> Result<NewVm, ImageOperationError> {
    let request_key = request_key(&request);
    let image = wanted_image(&request, default)?;
    Ok(NewVm {
        name: request.name,
        image,
        kernel: request.kernel,
        vcpus: request.vcpus,
        memory: request.memory,
        overlay: request.overlay.or(request.disk),
        work: request.work.or(request.disk),
        start: (!request.no_start).then_some(request.wait),
        command_follows: request.command_follows,
        vmm: request.vmm,
        ttl: request.ttl,
        bound_to: request
            .bound_to
            .map(|process| ProcessIdentity { pid: process.pid, start_ticks: process.start_ticks }),
        request_key,
    })
}

/// Returns the change that is wanted.
pub(in crate::http) fn change(request: SetVm) -> VmChange {
    let SetVm { vcpus, memory, disk, overlay, work, ttl } = request;
    VmChange { vcpus, memory, overlay: overlay.or(disk), work: work.or(disk), ttl }
}

/// Returns the image that a new VM is to have.
fn wanted_image(request: &CreateVm, default: &ImageName) -> Result<WantedImage, ImageOperationError> {
    let when = request.pull;
    match (&request.image, &request.image_source) {
        (Some(_), Some(_)) => Err(ImageOperationError::TwoImages),
        (None, Some(source)) => {
            let first = kernel_catalog().into_iter().next().map(|entry| entry.name);
            let kernel = source.kernel.clone().or(request.kernel.clone()).or(first);
            let kernel = kernel.ok_or(ImageOperationError::NoKernel)?;
            let wish = image_wish(source.clone())?;
            let is_bare = wish.name.is_none() && wish.bare_name.is_some();
            let pull = Box::new(wish.into_pull(kernel)?);
            Ok(if is_bare { WantedImage::Bare(pull, when) } else { WantedImage::From(pull, when) })
        }
        (name, None) => Ok(WantedImage::Named(name.as_ref().unwrap_or(default).clone(), when)),
    }
}

/// Returns what tells a repetition of this request, when its caller wants that.
fn request_key(request: &CreateVm) -> Option<RequestKey> {
    let key = request.idempotency_key.as_ref()?.as_str().to_owned();
    // Whoever repeats it is another process.
    let request = CreateVm { bound_to: None, ..request.clone() };
    let text = serde_json::to_vec(&request).unwrap_or_default();
    let sha256 = hex(&Sha256::digest(&text));
    Some(RequestKey { key, sha256 })
}

#[cfg(test)]
mod tests {
    use banger_api::PullImage;

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
