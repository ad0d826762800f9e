//! VMs that are bound to a process of the host, as those of `vm run --rm` to its client: they are deleted when the process has
//! ended, however it did.
//!
//! The process is known by its number and start time, which stand in the row, and its end is an event of the kernel. So
//! nothing has to be said or held open: a process that is stopped, a host that sleeps and a daemon that is replaced change
//! nothing, and the next daemon finds that a process has ended meanwhile.

use std::sync::Arc;

use banger_model::VmId;
use banger_store::VmRow;
use banger_sys::process::{ProcessHandle, ProcessIdentity};
use tracing::{info, warn};

use super::VmError;
use super::lifecycle::Lifecycle;
use super::reason::Reason;
use crate::operation::OperationTask;

impl Lifecycle {
    /// Deletes a VM when this process has ended; cancels its making, if that is not over by then.
    pub(super) fn delete_after(
        self: &Arc<Self>,
        process: ProcessHandle,
        id: VmId,
        task: Option<OperationTask>,
    ) {
        let service = Arc::clone(self);
        self.supervisor.spawn("bound process watch", async move {
            if let Err(error) = process.ended().await {
                return warn!(vm = %id, %error, "cannot watch the process that a VM is bound to");
            }
            if let Some(task) = task {
                task.cancel();
                service.records.operations.ended(task.id()).await;
            }
            service.delete_bound(&id);
        });
    }

    /// Looks after the VMs that an older daemon has bound.
    pub(super) fn keep_bound(self: &Arc<Self>) -> Result<(), VmError> {
        for row in &*self.rows.list()? {
            let Some(process) = bound_process(row) else { continue };
            match process.open() {
                Ok(Some(process)) => self.delete_after(process, row.id.clone(), None),
                Ok(None) => self.delete_bound(&row.id),
                Err(error) => warn!(vm = %row.name, %error, "cannot watch the process that a VM is bound to"),
            }
        }
        Ok(())
    }

    fn delete_bound(self: &Arc<Self>, id: &VmId) {
        // Deleted by its client, as it should be.
        let Ok(Some(row)) = self.rows.get(id) else { return };
        info!(vm = %row.name, "the process that it is bound to has ended");
        if let Err(error) = self.delete_because(&id.into(), Reason::Unbound) {
            warn!(vm = %row.name, %error, "a VM without its process cannot be deleted");
        }
    }
}

/// Opens the process that a new VM is to be bound to.
pub(super) fn open(process: ProcessIdentity) -> Result<ProcessHandle, VmError> {
    let unknown = |source| VmError::BoundToNobody { pid: process.pid, source };
    process.open().map_err(|error| unknown(Some(error)))?.ok_or_else(|| unknown(None))
}

fn bound_process(row: &VmRow) -> Option<ProcessIdentity> {
    let (pid, start_ticks) = row.bound_to?;
    Some(ProcessIdentity { pid, start_ticks })
}
