//! What has to be put back when a boot fails. Each step is noted before the act it undoes; on failure all run, newest
//! first, and every error is told.

use std::path::PathBuf;
use std::sync::Arc;

use banger_model::{VmId, VmName};
use banger_vmm::Machine;

use super::VmError;
use super::removal::remove_directory;
use super::rows::Rows;

/// One thing to put back.
pub(super) enum Undo {
    /// Removes the row.
    Row(VmId),
    /// Removes the VM's own directory, with its disks.
    Disks(PathBuf),
    /// Removes the directory of the machine's sockets.
    Sockets(PathBuf),
    /// Ends the machine.
    Machine(VmName, Arc<dyn Machine>),
}

/// The steps so far.
#[derive(Default)]
pub(super) struct UndoList(Vec<Undo>);

impl UndoList {
    /// Notes a step.
    pub(super) fn push(&mut self, undo: Undo) {
        self.0.push(undo);
    }

    /// Forgets the steps that would remove the VM itself: only its machine is ended and cleaned away then.
    pub(super) fn keep_vm(&mut self) {
        self.0.retain(|undo| match undo {
            Undo::Machine(..) | Undo::Sockets(_) => true,
            Undo::Row(_) | Undo::Disks(_) => false,
        });
    }

    /// Runs every step, newest first; returns `error`, with what could not be put back.
    pub(super) async fn run(mut self, rows: &Rows, error: VmError) -> VmError {
        let mut failures = Vec::new();
        while let Some(undo) = self.0.pop() {
            let done = match undo {
                Undo::Row(id) => rows.remove(&id),
                Undo::Disks(path) | Undo::Sockets(path) => remove_directory(path).await,
                Undo::Machine(name, machine) => {
                    machine.kill().await.map_err(|source| VmError::Kill { name, source })
                }
            };
            failures.extend(done.err());
        }
        if failures.is_empty() { error } else { VmError::Undo { first: Box::new(error), undo: failures } }
    }
}
