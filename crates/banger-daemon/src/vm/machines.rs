//! The machines that run now. The map's mutex is held for a look-up only.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use banger_model::VmId;
use banger_sys::process::ProcessIdentity;
use banger_vmm::Machine;

/// Machines by VM.
#[derive(Default)]
pub(super) struct Machines(Mutex<HashMap<VmId, Arc<dyn Machine>>>);

impl Machines {
    pub(super) fn get(&self, id: &VmId) -> Option<Arc<dyn Machine>> {
        self.lock().get(id).cloned()
    }

    pub(super) fn insert(&self, id: VmId, machine: Arc<dyn Machine>) {
        self.lock().insert(id, machine);
    }

    /// Forgets this very machine; tells whether it was the VM's current one.
    pub(super) fn remove(&self, id: &VmId, machine: &Arc<dyn Machine>) -> bool {
        let mut machines = self.lock();
        let is_current = machines.get(id).is_some_and(|current| Arc::ptr_eq(current, machine));
        if is_current {
            machines.remove(id);
        }
        is_current
    }

    /// Forgets the VM's machine: the caller holds the VM's lock and has ended it.
    pub(super) fn forget(&self, id: &VmId) {
        self.lock().remove(id);
    }

    pub(super) fn processes(&self) -> Vec<ProcessIdentity> {
        self.lock().values().map(|machine| machine.handle().process.into()).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<VmId, Arc<dyn Machine>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
