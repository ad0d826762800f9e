//! One look at a VM.

use banger_api::{StatsQuery, VmStats, VmView, route};
use banger_client::Client;

use crate::error::CliError;

/// Asks for the figures of a VM; `query` is what stands behind the route.
pub(super) async fn ask(client: &Client, vm: &VmView, query: StatsQuery) -> Result<VmStats, CliError> {
    Ok(client.get(route::SHOW_VM_STATS.of(&vm.id).asking(&query)).await?)
}
