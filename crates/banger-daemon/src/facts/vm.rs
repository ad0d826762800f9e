//! What is known of a VM.

use banger_model::{DiskTrouble, LostSocket, NetworkTrouble, PauseReason, Pending, VmSizes, VmState, WayOut};
use banger_store::VmRow;

/// What is known of a VM: its row, and what is seen of its machine now.
#[derive(Clone, Debug)]
pub struct VmFacts {
    /// Its row.
    pub row: VmRow,
    /// What is seen of its machine.
    pub presence: Presence,
    /// The last command that was started for the VM itself.
    pub command: Option<CommandFacts>,
}

impl VmFacts {
    /// Returns the state and the work of a VM, with what its guest has begun by itself. The row of a guest that shuts down
    /// stays `running` until its machine ends: the guest may stay after all.
    #[must_use]
    pub fn seen_from_outside(&self) -> (VmState, Option<Pending>) {
        let (state, pending) = (self.row.state, self.row.pending);
        match (state, self.presence.way_out) {
            (VmState::Running, Some(WayOut::PowerOff | WayOut::Halt | WayOut::Unknown)) => {
                (VmState::Stopping, pending)
            }
            (VmState::Running, Some(WayOut::Reboot)) => (state, pending.or(Some(Pending::Reboot))),
            (_, Some(_) | None) => (state, pending),
        }
    }
}

/// What is known of a VM beside its row.
#[derive(Clone, Copy, Debug, Default)]
pub struct Presence {
    /// Process of its machine, when it runs.
    pub pid: Option<u32>,
    /// Its guest gives no sign of life.
    pub is_silent: bool,
    /// What its guest does at the end of a shutdown that has begun.
    pub way_out: Option<WayOut>,
    /// Its socket that somebody has removed.
    pub lost_socket: Option<LostSocket>,
    /// Since when its guest does not answer.
    pub away_since_ms: Option<i64>,
    /// Why its guest stands still.
    pub paused: Option<PauseReason>,
    /// Why writes of its guest have failed.
    pub disk_trouble: Option<DiskTrouble>,
    /// Why it has no network.
    pub network_trouble: Option<NetworkTrouble>,
    /// When its time to live ends.
    pub expires_at_ms: Option<i64>,
}

/// What is known of the command of a VM. One that is not running has ended; if neither `exit_code` nor `signal` is present,
/// `note` tells why they are not known.
#[derive(Clone, Debug)]
pub struct CommandFacts {
    /// Its arguments, up to a limit.
    pub argv: Vec<String>,
    /// Whether it is running.
    pub is_running: bool,
    /// When it was started.
    pub started_at_ms: i64,
    /// When it ended.
    pub ended_at_ms: Option<i64>,
    /// Its exit status.
    pub exit_code: Option<u8>,
    /// The signal that ended it.
    pub signal: Option<u32>,
    /// More about its end.
    pub note: Option<String>,
}

/// Returns the sizes of a machine that runs with other ones than its next one will have.
#[must_use]
pub fn other_sizes(row: &VmRow) -> Option<VmSizes> {
    row.machine.filter(|sizes| row.state.has_machine() && *sizes != row.spec.sizes())
}
