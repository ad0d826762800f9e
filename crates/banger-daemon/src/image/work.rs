//! What all work on kernels and images has in common.

use banger_image::{Progress, Stage, StoreError};
use banger_model::{VmName, VmSpec};
use banger_store::Store;
use tracing::warn;

use crate::facts::Outcome;
use crate::fault::{Failure, Fault};
use crate::operation::{OperationTask, StagePart};

/// Returns the VMs whose spec is such, by the order of their rows.
pub(super) fn vms_where(
    rows: &Store,
    is_one: impl Fn(&VmSpec) -> bool,
) -> Result<Vec<VmName>, banger_store::StoreError> {
    let vms = rows.list_vms()?;
    Ok(vms.iter().filter(|vm| is_one(&vm.spec)).map(|vm| vm.name.clone()).collect())
}

/// Tells the stages of a pull as those of an operation.
pub(super) fn progress_of(task: &OperationTask) -> Progress {
    let (task, notes) = (task.clone(), task.clone());
    let stages = move |stage: Stage| {
        let parts = stage.parts.into_iter().map(|part| StagePart {
            label: part.label,
            done_bytes: part.done,
            total_bytes: part.total,
        });
        task.progress_of_parts(stage.name, &stage.detail, (stage.done, stage.total), parts.collect());
    };
    Progress::new(stages).with_notes(move |sentence| notes.note(sentence))
}

/// Tells the end of work that has no result of its own.
pub(super) async fn finish<E: Fault>(work: impl Future<Output = Result<(), E>>) -> Result<Outcome, Failure> {
    work.await.map(|()| Outcome::Nothing).map_err(|error| error.to_failure())
}

/// Tells the end of work, and what came out.
pub(super) async fn outcome<E: Fault>(
    work: impl Future<Output = Result<Outcome, E>>,
) -> Result<Outcome, Failure> {
    work.await.map_err(|error| error.to_failure())
}

/// Logs what a list leaves out.
pub(super) fn warn_damaged(damaged: &[StoreError]) {
    for error in damaged {
        warn!(%error, "left out of the list");
    }
}
