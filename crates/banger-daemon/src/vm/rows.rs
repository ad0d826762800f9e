//! The rows of VMs: each change is written with the operation in whose course it is made.

use std::sync::Arc;

use banger_model::{VmEvent, VmId, VmRef};
use banger_store::{Pending, Store, StoreError, VmRow};

use super::VmError;
use super::locks::VmGuard;
use crate::operation::current_id;

/// The VMs in the store.
#[derive(Clone, Debug)]
pub(super) struct Rows(Arc<Store>);

impl Rows {
    pub(super) fn new(store: Arc<Store>) -> Self {
        Self(store)
    }

    /// Returns all of them, oldest first.
    pub(super) fn list(&self) -> Result<Arc<[VmRow]>, VmError> {
        self.0.list_vms().map_err(VmError::Store)
    }

    /// Returns one of them.
    pub(super) fn get(&self, id: &VmId) -> Result<Option<VmRow>, VmError> {
        self.0.vm(id).map_err(VmError::Store)
    }

    /// Returns the VM with this name, id or beginning of an id.
    pub(super) fn find(&self, vm: &VmRef) -> Result<VmRow, VmError> {
        let rows = self.list()?;
        Ok(vm.find(&rows, |row| (&row.name, &row.id))?.clone())
    }

    /// Finds a VM that is not on its way out.
    pub(super) fn find_usable(&self, vm: &VmRef) -> Result<VmRow, VmError> {
        let row = self.find(vm)?;
        match row.pending {
            Some(Pending::Delete) => Err(VmError::BeingDeleted { name: row.name }),
            Some(Pending::Create | Pending::Reboot) | None => Ok(row),
        }
    }

    /// Returns one that is there, as it is now.
    pub(super) fn reload(&self, id: &VmId) -> Result<VmRow, VmError> {
        self.get(id)?.ok_or_else(|| VmError::missing(id.as_str()))
    }

    /// Returns the one that a request with this key has made.
    pub(super) fn of_request(&self, key: &str) -> Result<Option<VmRow>, VmError> {
        self.0.vm_of_request(key).map_err(VmError::Store)
    }

    /// Adds one; a name that is taken is told as such, because the caller may know another.
    pub(super) fn insert(&self, row: &VmRow) -> Result<(), StoreError> {
        self.0.insert_vm(row, current_id().as_deref())
    }

    /// Writes one anew.
    pub(super) fn update(&self, row: &VmRow) -> Result<(), VmError> {
        self.0.update_vm(row, current_id().as_deref()).map_err(VmError::Store)
    }

    /// Writes one anew; the event of its new state says why.
    pub(super) fn update_because(&self, row: &VmRow, why: &str) -> Result<(), VmError> {
        self.0.update_vm_because(row, current_id().as_deref(), Some(why)).map_err(VmError::Store)
    }

    /// Removes one; it may be gone.
    pub(super) fn remove(&self, id: &VmId) -> Result<(), VmError> {
        self.remove_because(id, None)
    }

    /// Removes one; its event says why.
    pub(super) fn remove_because(&self, id: &VmId, why: Option<&str>) -> Result<(), VmError> {
        self.0.remove_vm(id, current_id().as_deref(), why).map_err(VmError::Store)
    }

    /// Moves one to its next state. Its lock is held, so that nobody else changes it.
    pub(super) fn record(&self, _held: &VmGuard, row: &mut VmRow, event: VmEvent) -> Result<(), VmError> {
        advance(row, event)?;
        self.update(row)
    }

    /// As `record`; the event of the new state says why.
    pub(super) fn record_because(
        &self,
        _held: &VmGuard,
        row: &mut VmRow,
        event: VmEvent,
        why: Option<&str>,
    ) -> Result<(), VmError> {
        advance(row, event)?;
        self.0.update_vm_because(row, current_id().as_deref(), why).map_err(VmError::Store)
    }
}

/// Moves a row to its next state, not yet in the store.
pub(super) fn advance(row: &mut VmRow, event: VmEvent) -> Result<(), VmError> {
    let action = match event {
        VmEvent::BootStarted | VmEvent::BootFinished | VmEvent::BootFailed => "start",
        VmEvent::StopStarted | VmEvent::MachineEnded => "stop",
        VmEvent::GuestRebooted => "reboot",
    };
    row.state = row.state.after(event).map_err(|source| VmError::Denied {
        action,
        name: row.name.clone(),
        source,
    })?;
    // Whatever else becomes of it: nobody is to start it again any more.
    let ends_reboot = matches!(event, VmEvent::StopStarted | VmEvent::MachineEnded | VmEvent::BootFailed);
    if ends_reboot && row.pending == Some(Pending::Reboot) {
        row.pending = None;
    }
    Ok(())
}
