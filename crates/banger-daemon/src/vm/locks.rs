//! One lock per VM, held for a whole step of its life; the first in the order of locks.

use std::pin::pin;
use std::task::Poll;

use banger_model::VmId;
use banger_sys::keyed_lock::{KeyedGuard, KeyedLock};

use super::VmError;
use crate::operation::OperationTask;

/// Locks by VM.
#[derive(Debug, Default)]
pub(super) struct VmLocks(KeyedLock<VmId>);

/// Proof that a VM's lock is held.
pub(super) struct VmGuard(#[expect(dead_code, reason = "held for its drop")] KeyedGuard);

impl VmLocks {
    /// Waits for a VM's lock.
    pub(super) async fn lock(&self, id: &VmId) -> VmGuard {
        VmGuard(self.0.lock(id).await)
    }

    /// Waits for a VM's lock, and says so when somebody else has it.
    pub(super) async fn lock_unless_cancelled(
        &self,
        id: &VmId,
        task: &OperationTask,
    ) -> Result<VmGuard, VmError> {
        let mut lock = pin!(self.lock(id));
        match futures::poll!(&mut lock) {
            Poll::Ready(held) => Ok(held),
            Poll::Pending => {
                task.stage("wait for another command", "");
                Ok(task.unless_cancelled(lock).await?)
            }
        }
    }
}
