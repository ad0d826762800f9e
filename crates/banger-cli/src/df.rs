//! `df`: what banger takes of the disk.

use std::time::Duration;

use banger_api::{ImageView, KernelView, PruneCache, PrunedCache, StatsQuery, VmStats, VmView, route};
use banger_client::Client;
use banger_sys::paths::Paths;
use futures::future::join_all;
use serde::Serialize;

use crate::ensure::ensure;
use crate::error::CliError;
use crate::render::{self, bytes};

/// How long the daemon may take to count what may be many files.
const COUNT_DEADLINE: Duration = Duration::from_secs(30);

/// Things of one kind.
#[derive(Debug, Serialize)]
struct Usage {
    kind: &'static str,
    count: u64,
    size_bytes: u64,
}

/// Shows it.
pub(crate) async fn df(paths: &Paths, as_json: bool) -> Result<(), CliError> {
    let client = ensure(paths).await?;
    let usage =
        [images(&client).await?, kernels(&client).await?, vms(&client).await?, layers(&client).await?];
    if as_json { render::print_json(&usage) } else { render::print(&table(&usage)) }
}

async fn images(client: &Client) -> Result<Usage, CliError> {
    let images: Vec<ImageView> = client.get(route::LIST_IMAGES).await?;
    let sizes = images.iter().filter(|image| image.is_pulled).map(|image| image.size_bytes);
    Ok(Usage::of("images", sizes))
}

async fn kernels(client: &Client) -> Result<Usage, CliError> {
    let kernels: Vec<KernelView> = client.get(route::LIST_KERNELS).await?;
    let sizes = kernels.iter().filter(|kernel| kernel.is_pulled).map(|kernel| kernel.size_bytes);
    Ok(Usage::of("kernels", sizes))
}

/// The disks of VMs, as far as they are written.
async fn vms(client: &Client) -> Result<Usage, CliError> {
    let vms: Vec<VmView> = client.get(route::LIST_VMS).await?;
    let asked = vms.iter().map(|vm| async move {
        let path = route::SHOW_VM_STATS.of(&vm.id).asking(&StatsQuery { host_only: true });
        let stats: VmStats = client.get(path).await.ok()?;
        Some(stats.host.disks.iter().fold(0, |sum: u64, disk| sum.saturating_add(disk.allocated_bytes)))
    });
    // A VM that is deleted meanwhile has no size.
    Ok(Usage::of("VM disks", join_all(asked).await))
}

async fn layers(client: &Client) -> Result<Usage, CliError> {
    let request = PruneCache { dry_run: true };
    let cache: PrunedCache = client.post_within(route::PRUNE_IMAGE_CACHE, &request, COUNT_DEADLINE).await?;
    Ok(Usage { kind: "layer cache", count: cache.blobs, size_bytes: cache.bytes })
}

impl Usage {
    fn of(kind: &'static str, sizes: impl IntoIterator<Item = Option<u64>>) -> Self {
        let add = |usage: Self, size: Option<u64>| Self {
            kind,
            count: usage.count + 1,
            size_bytes: usage.size_bytes.saturating_add(size.unwrap_or(0)),
        };
        sizes.into_iter().fold(Self { kind, count: 0, size_bytes: 0 }, add)
    }
}

fn table(usage: &[Usage]) -> String {
    let row = |usage: &Usage| vec![usage.kind.to_owned(), usage.count.to_string(), bytes(usage.size_bytes)];
    render::table(&["KIND", "COUNT", "SIZE"], &usage.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_line() {
        let usage = [Usage::of("images", [Some(3 << 20), None]), Usage::of("kernels", [])];
        insta::assert_snapshot!(table(&usage), @r"
        KIND     COUNT  SIZE
        images   2      3.0 MiB
        kernels  0      0 B
        ");
    }
}
