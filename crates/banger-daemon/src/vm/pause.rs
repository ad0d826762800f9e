//! A guest that stands still because the host's disk does not take what it writes. The VMM has stopped it in the middle
//! of the write; it is let go, and writes again, when there is room. Nothing of this is kept: the VMM knows, so that the
//! next daemon finds it as this one did.

use std::sync::Arc;
use std::time::Duration;

use banger_model::{PauseReason, VmId};
use banger_vmm::{Machine, RunState, WriteFailure};
use tracing::{info, warn};

use super::machines::Health;
use super::watch::Watch;
use crate::clock::now_ms;

/// How long a VMM may take to say what its guest does. One that hangs must not hold up who asks.
const STATE_DEADLINE: Duration = Duration::from_secs(2);
/// How often room is looked for, while a guest waits for it and nothing of ours makes any.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// How long after a try that did not help the next one comes. Where a quota is full, nobody can see whether it would.
const TRY_AGAIN: Duration = Duration::from_secs(10);

/// Asks a machine why its guest stands still, if it does.
pub(super) async fn reason(machine: &Arc<dyn Machine>) -> Option<PauseReason> {
    match tokio::time::timeout(STATE_DEADLINE, machine.run_state()).await {
        Ok(Ok(RunState::WriteFailed(WriteFailure::NoSpace))) => Some(PauseReason::HostDiskFull),
        Ok(Ok(RunState::WriteFailed(WriteFailure::Other))) => Some(PauseReason::HostDiskError),
        Ok(Ok(RunState::Running | RunState::Paused) | Err(_)) | Err(_) => None,
    }
}

/// Returns when a machine's guest stands still, with the reason. Asked from time to time: not every VMM tells by itself.
pub(super) async fn stands_still(machine: &Arc<dyn Machine>) -> PauseReason {
    loop {
        tokio::time::sleep(LOOK_AGAIN).await;
        if let Some(reason) = reason(machine).await {
            return reason;
        }
    }
}

impl Watch {
    /// Asks the VMM of a machine that was taken over whether its guest stands still: nobody should see it as well until the
    /// first sign of life is missed.
    pub(super) async fn find_paused(&self, id: &VmId, machine: &Arc<dyn Machine>) {
        let asked_ms = now_ms();
        let Some(reason) = reason(machine).await else { return };
        if let Some(before) = self.machines.set_health(id, machine, Health::Paused(reason), asked_ms) {
            self.tell_change(id, before, Health::Paused(reason));
        }
    }

    /// Waits until a guest that stands still may go on, and lets it. `tries` counts how often that was done in vain.
    pub(super) async fn let_go_with_room(
        &self,
        machine: &Arc<dyn Machine>,
        reason: PauseReason,
        tries: &mut u32,
    ) {
        if *tries > 0 || reason == PauseReason::HostDiskError {
            self.room.made_within(TRY_AGAIN).await;
        }
        while reason == PauseReason::HostDiskFull && !self.room.is_there_again() {
            self.room.made_within(LOOK_AGAIN).await;
        }
        *tries += 1;
        match machine.resume().await {
            Ok(()) => info!(pid = machine.handle().process.pid, "the guest writes again"),
            Err(error) => warn!(%error, "a guest that stands still cannot be let go"),
        }
    }
}
