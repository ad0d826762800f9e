//! What is told of the work on VMs: operations and events. A request that is repeated is answered from here.

use banger_model::OperationKind;
use banger_store::{Pending, VmRow};

use super::VmError;
use super::rows::Rows;
use super::views::Views;
use crate::events::Events;
use crate::facts::Outcome;
use crate::operation::{KeyReused, OperationStatus, OperationTask, Operations, RequestKey};

/// Operations and events of VMs.
pub(super) struct Records {
    pub(super) rows: Rows,
    pub(super) views: Views,
    pub(super) operations: Operations,
    pub(super) events: Events,
}

impl Records {
    /// Returns a VM as the outcome of an operation.
    pub(super) fn outcome(&self, row: Option<VmRow>) -> Outcome {
        row.map_or(Outcome::Nothing, |row| Outcome::Vm(Box::new(self.views.of(row))))
    }

    /// Tells what may not work, or could be better, to who follows the operation and to who listens to the events.
    pub(super) fn warn(&self, row: &VmRow, warnings: &[String], task: &OperationTask) -> Result<(), VmError> {
        warnings.iter().try_for_each(|warning| {
            task.warn(warning);
            self.events.warn_of_vm(row, warning).map_err(VmError::Store)
        })
    }

    /// Answers a request that was answered before: with its operation, or with the VM that it made.
    pub(super) fn answer_again(&self, key: &RequestKey) -> Result<Option<OperationStatus>, VmError> {
        if let Some(begun) = self.operations.of_key(key).map_err(VmError::KeyReused)? {
            return Ok(Some(begun));
        }
        let Some(row) = self.rows.of_request(&key.key)? else { return Ok(None) };
        let Some(request) = row.request.clone().filter(|_| row.pending.is_none()) else { return Ok(None) };
        if request.sha256 != key.sha256 {
            return Err(VmError::KeyReused(KeyReused { key: key.key.clone() }));
        }
        let (target, outcome) = (row.name.to_string(), self.outcome(Some(row)));
        Ok(Some(OperationStatus::succeeded(request.op_id, OperationKind::VmCreate, target, outcome)))
    }

    /// Tells whether a cancelled start is taken up by the next daemon: the guest has rebooted, and only this daemon ends.
    pub(super) fn is_left_to_next_daemon(&self, row: &VmRow) -> bool {
        row.pending == Some(Pending::Reboot) && self.operations.is_closed()
    }
}
