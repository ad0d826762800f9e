//! Delete a VM: its machine, its disks, and its row last.

use std::sync::Arc;

use banger_model::{OperationKind, VmEvent, VmRef};
use banger_store::{Pending, VmRow};
use tracing::info;

use super::VmError;
use super::lifecycle::Lifecycle;
use super::locks::VmGuard;
use super::reason::Reason;
use super::rows::advance;
use crate::operation::OperationStatus;

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
        self.endings.tell(&row, &reason.sentence("deleted"));
        if row.state.has_machine() {
            advance(&mut row, VmEvent::MachineEnded)?;
        }
        row.pending = Some(Pending::Delete);
        row.last_error = Some("it is being deleted".to_owned());
        let noted = self.rows.update(&row);
        self.supplies.remove_files(&row).await?;
        self.room.tell_made();
        // A wish that found no room is noted in the room that the disks have left.
        noted.or_else(|_no_room| self.rows.update(&row))?;
        self.rows.remove_because(&row.id, reason.message())?;
        self.usage.forget(&row.id);
        info!(vm = %row.name, "removed");
        Ok(())
    }
}

fn refuse_unless_stopped(row: &VmRow) -> Result<(), VmError> {
    if row.state.has_machine() || row.pending == Some(Pending::Create) {
        return Err(VmError::NotStopped { name: row.name.clone() });
    }
    Ok(())
}
