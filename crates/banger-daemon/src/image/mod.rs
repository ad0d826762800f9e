//! Kernels and images: what is done with them, as operations and views, and what VMs boot from them.

mod boot_source;
mod bundles;
mod fault;
mod images;
mod kernel_check;
mod kernels;
mod local;
mod oci;

use banger_api::{ErrorBody, StagePartView};
use banger_image::{Progress, Stage, StoreError};
use banger_model::{VmName, VmSpec};
use banger_store::Store;
use tracing::warn;

use crate::fault::Fault;
use crate::operation::OperationTask;

pub use boot_source::ImageBootSource;
pub use images::{ImageOperationError, ImageOperations};
pub use kernels::{KernelOperationError, KernelOperations};
pub(crate) use oci::wanted_image;

/// Returns the VMs whose spec is such, by the order of their rows.
fn vms_where(
    rows: &Store,
    is_one: impl Fn(&VmSpec) -> bool,
) -> Result<Vec<VmName>, banger_store::StoreError> {
    let vms = rows.list_vms()?;
    Ok(vms.iter().filter(|vm| is_one(&vm.spec)).map(|vm| vm.name.clone()).collect())
}

/// Tells the stages of a pull as those of an operation.
fn progress_of(task: &OperationTask) -> Progress {
    let (task, notes) = (task.clone(), task.clone());
    let stages = move |stage: Stage| {
        let parts = stage.parts.into_iter().map(|part| StagePartView {
            label: part.label,
            done_bytes: part.done,
            total_bytes: part.total,
        });
        task.progress_of_parts(stage.name, &stage.detail, (stage.done, stage.total), parts.collect());
    };
    Progress::new(stages).with_notes(move |sentence| notes.note(sentence))
}

/// Tells the end of work that has no result of its own.
async fn finish<E: Fault>(work: impl Future<Output = Result<(), E>>) -> Result<serde_json::Value, ErrorBody> {
    work.await.map(|()| serde_json::Value::Null).map_err(|error| error.to_body())
}

fn warn_damaged(damaged: &[StoreError]) {
    for error in damaged {
        warn!(%error, "left out of the list");
    }
}
