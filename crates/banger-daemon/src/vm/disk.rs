//! Tells when writes of a running guest have failed. It stays so until the machine ends: what the guest has lost is not in
//! its file systems, and some of them may be read-only.

use std::sync::Arc;

use banger_model::{EventKind, VmId};
use banger_vmm::Machine;
use tracing::warn;

use super::watch::Watch;

impl Watch {
    /// Watches a machine's disks until the machine ends.
    pub(super) fn watch_disk(self: &Arc<Self>, id: &VmId, machine: &Arc<dyn Machine>) {
        let (service, id, machine) = (Arc::clone(self), id.clone(), Arc::clone(machine));
        self.supervisor.spawn("disk watch", async move {
            let mut disk = machine.disk();
            let tell = async {
                loop {
                    let trouble = *disk.borrow_and_update();
                    if let Some(trouble) = trouble {
                        warn!(vm = %id, %trouble, "writes of the guest have failed");
                        service.tell_health(&id, EventKind::VmWritesFailed, Some(trouble.to_string()));
                    }
                    // Nobody tells any more: the VMM pauses its guest instead, or the machine is gone.
                    if disk.changed().await.is_err() {
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
}
