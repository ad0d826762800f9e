//! One look at a VM.

use banger_api::{VmStats, VmView};
use banger_client::Client;

use crate::error::CliError;

/// Asks for the figures of a VM; `query` is what stands behind the route.
pub(super) async fn ask(client: &Client, vm: &VmView, query: &str) -> Result<VmStats, CliError> {
    Ok(client.get(&format!("/v1/vms/{}/stats{query}", vm.id)).await?)
}
