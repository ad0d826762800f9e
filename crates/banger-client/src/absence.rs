//! A guest that is away: it gives no sign of life because it hangs, is stopped, or its host is busy.

use banger_api::{VmView, route};
use banger_model::VmState;

use crate::client::Client;

/// Returns since when the guest of a VM is away, as text of the daemon; `None` where it is there, or does not run.
pub async fn absent_since(client: &Client, vm: &VmView) -> Option<String> {
    absence(client, vm).await?
}

/// Returns the absence of a guest that runs; `None` where it does not run, or nobody can tell.
pub async fn absence(client: &Client, vm: &VmView) -> Option<Option<String>> {
    let now: VmView = client.get(route::SHOW_VM.of(&vm.id)).await.ok()?;
    // One that shuts down by itself can hang as well.
    if !matches!(now.state, VmState::Running | VmState::Stopping) {
        return None;
    }
    let is_away = now.is_unresponsive || now.unresponsive_since.is_some();
    Some(is_away.then(|| now.unresponsive_since.unwrap_or_default()))
}
