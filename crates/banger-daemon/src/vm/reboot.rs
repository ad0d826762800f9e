//! A machine that ended by itself: told as what it was, and started again when its guest has rebooted.

use std::sync::Arc;
use std::time::Duration;

use banger_model::{OperationKind, VmEvent, VmId, WaitFor};
use banger_store::{Pending, VmRow};
use banger_vmm::{Machine, MachineEnd};
use tracing::info;

use super::VmError;
use super::lifecycle::Lifecycle;
use super::locks::VmGuard;
use crate::fault::Fault as _;
use crate::operation::{Cancelled, OperationTask};

impl Lifecycle {
    /// Records that a machine has ended without anybody's wish.
    pub(super) async fn machine_ended(
        self: &Arc<Self>,
        held: &VmGuard,
        id: &VmId,
        machine: &Arc<dyn Machine>,
        end: MachineEnd,
    ) -> Result<(), VmError> {
        let Some(ending) = self.machines.remove(id, machine, end) else { return Ok(()) };
        let mut row = self.rows.reload(id)?;
        info!(vm = %row.name, why = %ending, "machine ended by itself");
        let cleaned = self.clean_up(machine, &row).await;
        if let Some(pause) = self.endings.write(held, &mut row, &ending, "")? {
            self.begin_reboot(&row, pause);
        }
        cleaned
    }

    /// Begins to start the machine of a guest that has rebooted.
    pub(super) fn begin_reboot(self: &Arc<Self>, row: &VmRow, pause: Duration) {
        let row = row.clone();
        let target = row.name.to_string();
        self.begin(OperationKind::VmReboot, &target, move |service, task| {
            let entry = service.boots.register(&row.id, &task);
            async move {
                let _entry = entry;
                if !pause.is_zero() {
                    task.stage("wait", "the guest reboots again and again");
                }
                let paused = task.unless_cancelled(tokio::time::sleep(pause)).await;
                let held = service.locks.lock(&row.id).await;
                service.reboot_held(&held, &row.id, paused.err(), &task).await
            }
        });
    }

    async fn reboot_held(
        self: &Arc<Self>,
        held: &VmGuard,
        id: &VmId,
        cancelled: Option<Cancelled>,
        task: &OperationTask,
    ) -> Result<Option<VmRow>, VmError> {
        let Some(mut row) = self.rows.get(id)? else { return Ok(None) };
        // Stopped, killed, or started by somebody else meanwhile.
        if row.pending != Some(Pending::Reboot) {
            return Ok(Some(row));
        }
        if let Some(why) = cancelled {
            if !self.records.is_left_to_next_daemon(&row) {
                self.rows.record(held, &mut row, VmEvent::MachineEnded)?;
            }
            return Err(VmError::StartCancelled { why, name: row.name });
        }
        let error = match self.start_held(held, id, WaitFor::Agent, task).await {
            Ok(row) => return Ok(Some(row)),
            Err(error) => error,
        };
        // Refused before anything was begun, as on a disk that is full: nobody tries again.
        let mut row = self.rows.reload(id)?;
        if row.pending == Some(Pending::Reboot) && !self.records.is_left_to_next_daemon(&row) {
            row.last_error = Some(error.message());
            self.rows.record(held, &mut row, VmEvent::BootFailed)?;
        }
        Err(error)
    }
}
