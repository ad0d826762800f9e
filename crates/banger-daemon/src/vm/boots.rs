//! The operations that may start a machine, by VM. They register before they wait for the VM's lock, so that a kill or
//! delete finds and cancels all that began before it. The map's mutex is held for a look-up only.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use banger_model::VmId;

use crate::operation::OperationTask;

type Tasks = HashMap<VmId, Vec<OperationTask>>;

/// Boots by VM.
#[derive(Clone, Default)]
pub(super) struct Boots(Arc<Mutex<Tasks>>);

impl Boots {
    /// Makes an operation findable until the entry is dropped.
    pub(super) fn register(&self, id: &VmId, task: &OperationTask) -> BootEntry {
        self.lock().entry(id.clone()).or_default().push(task.clone());
        BootEntry { boots: self.clone(), id: id.clone(), operation: task.id().to_owned() }
    }

    /// Cancels all that are registered for a VM; tells whether there was one.
    pub(super) fn cancel(&self, id: &VmId) -> bool {
        let tasks = self.lock().get(id).cloned().unwrap_or_default();
        tasks.iter().for_each(OperationTask::cancel);
        !tasks.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Tasks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An operation that may start a machine; dropping it tells that it no longer will.
pub(super) struct BootEntry {
    boots: Boots,
    id: VmId,
    operation: String,
}

impl Drop for BootEntry {
    fn drop(&mut self) {
        let mut boots = self.boots.lock();
        if let Some(tasks) = boots.get_mut(&self.id) {
            tasks.retain(|task| task.id() != self.operation);
            if tasks.is_empty() {
                boots.remove(&self.id);
            }
        }
    }
}
