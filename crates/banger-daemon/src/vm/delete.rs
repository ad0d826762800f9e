//! Delete a VM: its machine, its disks, and its row last.

use std::sync::Arc;
use std::time::Duration;

use banger_model::{OperationKind, VmEvent, VmRef};
use banger_store::{Pending, VmRow};
use banger_vmm::KillError;
use rustix::process::Signal;
use tracing::{info, warn};

use super::VmError;
use super::lifecycle::Lifecycle;
use super::locks::VmGuard;
use super::reason::Reason;
use super::removal::remove_directory;
use super::rows::advance;
use crate::operation::OperationStatus;

/// How long a machine that nobody holds may take to end: a kernel that writes its disk out is not waited for longer.
const STRAY_DEADLINE: Duration = Duration::from_secs(10);

impl Lifecycle {
    /// Begins to remove a VM with its disks; its machine is ended first.
    ///
    /// # Errors
    /// [`VmError`] of finding it.
    pub fn delete(self: &Arc<Self>, vm: &VmRef) -> Result<OperationStatus, VmError> {
        self.delete_because(vm, Reason::Asked)
    }

    /// As `delete`, for a reason.
    pub(super) fn delete_because(
        self: &Arc<Self>,
        vm: &VmRef,
        reason: Reason,
    ) -> Result<OperationStatus, VmError> {
        let row = self.rows.find(vm)?;
        let target = row.name.to_string();
        Ok(self.begin(OperationKind::VmDelete, &target, move |service, task| async move {
            let (held, _) = service.interrupt(&row, &task).await?;
            // Gone meanwhile, by another delete or the undo of its create: that is what was asked for.
            let Some(row) = service.rows.get(&row.id)? else { return Ok(None) };
            task.stage("remove disks", "");
            service.remove_held(&held, row, reason).await.map(|()| None)
        }))
    }

    /// Begins to remove a VM that has no machine, and gives up when it gets one.
    ///
    /// # Errors
    /// [`VmError`] of finding it, [`VmError::NotStopped`].
    pub fn delete_stopped(self: &Arc<Self>, vm: &VmRef) -> Result<OperationStatus, VmError> {
        let row = self.rows.find(vm)?;
        refuse_unless_stopped(&row)?;
        let target = row.name.to_string();
        Ok(self.begin(OperationKind::VmDelete, &target, move |service, task| async move {
            let held = service.locks.lock_unless_cancelled(&row.id, &task).await?;
            let Some(row) = service.rows.get(&row.id)? else { return Ok(None) };
            refuse_unless_stopped(&row)?;
            task.stage("remove disks", "");
            service.remove_held(&held, row, Reason::Asked).await.map(|()| None)
        }))
    }

    /// Removes a VM: first the wish, so that a dead daemon's successor finishes it, the row last.
    pub(super) async fn remove_held(
        &self,
        _held: &VmGuard,
        mut row: VmRow,
        reason: Reason,
    ) -> Result<(), VmError> {
        self.endings.add(&row, &reason.sentence("deleted"), false);
        if row.state.has_machine() {
            advance(&mut row, VmEvent::MachineEnded)?;
        }
        row.pending = Some(Pending::Delete);
        row.last_error = Some("it is being deleted".to_owned());
        let noted = self.rows.update(&row);
        self.end_strays(&row).await?;
        let id = row.id.as_str();
        for path in [self.paths.vm_runtime(id), self.paths.vm(id)] {
            remove_directory(path).await?;
        }
        self.room.tell_made();
        // A wish that found no room is noted in the room that the disks have left.
        noted.or_else(|_no_room| self.rows.update(&row))?;
        self.rows.remove_because(&row.id, reason.message())?;
        self.usage.forget(&row.id);
        info!(vm = %row.name, "removed");
        Ok(())
    }

    /// Ends whatever still runs from a VM's directory, even if no machine of the VM is known: no process outlives its disks.
    async fn end_strays(&self, row: &VmRow) -> Result<(), VmError> {
        let directory = self.paths.vm(row.id.as_str());
        let found = self.strays.machines_of(&directory).await;
        let found =
            found.map_err(|source| VmError::Directory { action: "remove", path: directory, source })?;
        for process in found {
            warn!(vm = %row.name, pid = process.pid, "ending a machine that nobody holds, as its VM is removed");
            let failed = |source| VmError::Kill { name: row.name.clone(), source };
            let signal = |source| failed(KillError::Signal { pid: process.pid, source });
            let Some(open) = process.open().map_err(signal)? else { continue };
            open.signal(Signal::KILL).map_err(signal)?;
            match tokio::time::timeout(STRAY_DEADLINE, open.ended()).await {
                Ok(ended) => ended.map_err(signal)?,
                Err(_elapsed) => {
                    return Err(failed(KillError::StillAlive { pid: process.pid, deadline: STRAY_DEADLINE }));
                }
            }
        }
        Ok(())
    }
}

fn refuse_unless_stopped(row: &VmRow) -> Result<(), VmError> {
    if row.state.has_machine() || row.pending == Some(Pending::Create) {
        return Err(VmError::NotStopped { name: row.name.clone() });
    }
    Ok(())
}
