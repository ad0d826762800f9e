//! Names that a press of Tab offers. They are live; a daemon that does not run, or does not answer at once, gives none.

use std::ffi::OsStr;
use std::io;
use std::time::Duration;

use banger_api::route::Route;
use banger_api::{CatalogKernel, ImageView, KernelView, OperationState, OperationView, VmView, route};
use banger_client::Client;
use banger_sys::paths::Paths;
use clap_complete::CompletionCandidate;
use clap_complete::engine::{PathCompleter, ValueCompleter as _};
use serde::de::DeserializeOwned;

/// How long a press of Tab may wait for names.
const DEADLINE: Duration = Duration::from_millis(500);

/// Names of VMs.
pub(crate) fn vms() -> Vec<CompletionCandidate> {
    names(route::LIST_VMS, |vm: VmView| vm.name.into())
}

/// Paths on this host, and names of VMs with the colon behind which their paths begin.
pub(crate) fn places(current: &OsStr) -> Vec<CompletionCandidate> {
    let mut places = PathCompleter::any().complete(current);
    let typed = current.to_string_lossy();
    if !typed.contains(['/', ':']) {
        let vms = names(route::LIST_VMS, |vm: VmView| format!("{}:", vm.name));
        places.extend(
            vms.into_iter().filter(|vm| vm.get_value().to_string_lossy().starts_with(typed.as_ref())),
        );
    }
    places
}

/// Names of images.
pub(crate) fn images() -> Vec<CompletionCandidate> {
    names(route::LIST_IMAGES, |image: ImageView| image.name.into())
}

/// Names of images that are here.
pub(crate) fn local_images() -> Vec<CompletionCandidate> {
    let images = ask::<ImageView>(route::LIST_IMAGES).unwrap_or_default();
    let local = images.into_iter().filter(|image| image.is_pulled);
    local.map(|image| CompletionCandidate::new(String::from(image.name))).collect()
}

/// Names of kernels, here and in the catalog.
pub(crate) fn kernels() -> Vec<CompletionCandidate> {
    names(route::LIST_KERNELS, |kernel: KernelView| kernel.name.into())
}

/// Names of kernels that are here.
pub(crate) fn local_kernels() -> Vec<CompletionCandidate> {
    let kernels = ask::<KernelView>(route::LIST_KERNELS).unwrap_or_default();
    let local = kernels.into_iter().filter(|kernel| kernel.is_pulled);
    local.map(|kernel| CompletionCandidate::new(String::from(kernel.name))).collect()
}

/// Names of kernels in the catalog.
pub(crate) fn catalog_kernels() -> Vec<CompletionCandidate> {
    names(route::LIST_CATALOG_KERNELS, |kernel: CatalogKernel| kernel.name.into())
}

/// IDs of operations.
pub(crate) fn operations() -> Vec<CompletionCandidate> {
    names(route::LIST_OPERATIONS, |operation: OperationView| operation.id)
}

/// IDs of operations that have not ended.
pub(crate) fn running_operations() -> Vec<CompletionCandidate> {
    let operations = ask::<OperationView>(route::LIST_OPERATIONS).unwrap_or_default();
    let running = operations.into_iter().filter(|operation| operation.state == OperationState::Running);
    running.map(|operation| CompletionCandidate::new(operation.id)).collect()
}

fn names<T: DeserializeOwned>(path: Route, name: impl Fn(T) -> String) -> Vec<CompletionCandidate> {
    let found = ask::<T>(path).unwrap_or_default();
    found.into_iter().map(|item| CompletionCandidate::new(name(item))).collect()
}

fn ask<T: DeserializeOwned>(path: Route) -> Option<Vec<T>> {
    let paths = Paths::from_environment().ok()?;
    let runtime: io::Result<_> = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let client = Client::new(&paths.daemon_socket());
    runtime
        .ok()?
        .block_on(async { tokio::time::timeout(DEADLINE, client.get::<Vec<T>>(path)).await.ok()?.ok() })
}
