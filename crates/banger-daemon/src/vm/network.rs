//! Tells when a running machine has lost its network, and when it has it again. The machine and what runs in it go on; only
//! connections to the outside are gone.

use std::sync::Arc;

use banger_model::{EventKind, NetworkTrouble, VmId};
use banger_vmm::Machine;
use tracing::{info, warn};

use super::watch::Watch;

impl Watch {
    /// Watches a machine's network until the machine ends.
    pub(super) fn watch_network(self: &Arc<Self>, id: &VmId, machine: &Arc<dyn Machine>) {
        let (service, id, machine) = (Arc::clone(self), id.clone(), Arc::clone(machine));
        self.supervisor.spawn("network watch", async move {
            let mut network = machine.network();
            let tell = async {
                let mut told = None;
                loop {
                    let now = *network.borrow_and_update();
                    if now != told {
                        service.tell_network(&id, now);
                        told = now;
                    }
                    // Nobody tells any more: the machine has no network, or is gone.
                    if network.changed().await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                _ = machine.ended() => {}
                () = tell => {}
            }
        });
    }

    fn tell_network(&self, id: &VmId, trouble: Option<NetworkTrouble>) {
        if let Some(trouble) = trouble {
            warn!(vm = %id, %trouble, "the VM has lost its network");
            self.tell_health(id, EventKind::VmNetworkLost, Some(trouble.to_string()));
        } else {
            info!(vm = %id, "the VM has its network again");
            self.tell_health(id, EventKind::VmNetworkRestored, None);
        }
    }
}
