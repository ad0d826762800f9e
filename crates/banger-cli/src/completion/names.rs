//! Names that a press of Tab offers. They are live; a daemon that does not run, or does not answer at once, gives none.

use std::ffi::OsStr;
use std::io;
use std::time::Duration;

use banger_api::{CatalogKernel, ImageView, KernelView, VmView};
use banger_client::Client;
use banger_sys::paths::Paths;
use clap_complete::CompletionCandidate;
use clap_complete::engine::{PathCompleter, ValueCompleter as _};
use serde::de::DeserializeOwned;

/// How long a press of Tab may wait for names.
const DEADLINE: Duration = Duration::from_millis(500);

/// Names of VMs.
pub(crate) fn vms() -> Vec<CompletionCandidate> {
    names("/v1/vms", |vm: VmView| vm.name.into())
}

/// Paths on this host, and names of VMs with the colon behind which their paths begin.
pub(crate) fn places(current: &OsStr) -> Vec<CompletionCandidate> {
    let mut places = PathCompleter::any().complete(current);
    let typed = current.to_string_lossy();
    if !typed.contains(['/', ':']) {
        let vms = names("/v1/vms", |vm: VmView| format!("{}:", vm.name));
        places.extend(
            vms.into_iter().filter(|vm| vm.get_value().to_string_lossy().starts_with(typed.as_ref())),
        );
    }
    places
}

/// Names of images.
pub(crate) fn images() -> Vec<CompletionCandidate> {
    names("/v1/images", |image: ImageView| image.name.into())
}

/// Names of images that are here.
pub(crate) fn local_images() -> Vec<CompletionCandidate> {
    let images = ask::<ImageView>("/v1/images").unwrap_or_default();
    let local = images.into_iter().filter(|image| image.is_pulled);
    local.map(|image| CompletionCandidate::new(String::from(image.name))).collect()
}

/// Names of kernels, here and in the catalog.
pub(crate) fn kernels() -> Vec<CompletionCandidate> {
    names("/v1/kernels", |kernel: KernelView| kernel.name.into())
}

/// Names of kernels that are here.
pub(crate) fn local_kernels() -> Vec<CompletionCandidate> {
    let kernels = ask::<KernelView>("/v1/kernels").unwrap_or_default();
    let local = kernels.into_iter().filter(|kernel| kernel.is_pulled);
    local.map(|kernel| CompletionCandidate::new(String::from(kernel.name))).collect()
}

/// Names of kernels in the catalog.
pub(crate) fn catalog_kernels() -> Vec<CompletionCandidate> {
    names("/v1/catalog/kernels", |kernel: CatalogKernel| kernel.name.into())
}

fn names<T: DeserializeOwned>(path: &str, name: impl Fn(T) -> String) -> Vec<CompletionCandidate> {
    let found = ask::<T>(path).unwrap_or_default();
    found.into_iter().map(|item| CompletionCandidate::new(name(item))).collect()
}

fn ask<T: DeserializeOwned>(path: &str) -> Option<Vec<T>> {
    let paths = Paths::from_environment().ok()?;
    let runtime: io::Result<_> = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let client = Client::new(&paths.daemon_socket());
    runtime
        .ok()?
        .block_on(async { tokio::time::timeout(DEADLINE, client.get::<Vec<T>>(path)).await.ok()?.ok() })
}
