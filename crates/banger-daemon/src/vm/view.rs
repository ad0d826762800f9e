//! A VM as clients see it.

use banger_api::{PendingWork, VmView};
use banger_model::{DiskTrouble, LostSocket, NetworkTrouble, PauseReason, VmSizes, VmState, WayOut};
use banger_store::{Pending, VmRow};
use jiff::Timestamp;

/// What is known of a VM beside its row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Presence {
    /// Process of its machine, when it runs.
    pub(super) pid: Option<u32>,
    /// Its guest gives no sign of life.
    pub(super) is_silent: bool,
    /// What its guest does at the end of a shutdown that has begun.
    pub(super) way_out: Option<WayOut>,
    /// Its socket that somebody has removed.
    pub(super) lost_socket: Option<LostSocket>,
    /// Since when its guest does not answer.
    pub(super) away_since_ms: Option<i64>,
    /// Why its guest stands still.
    pub(super) paused: Option<PauseReason>,
    /// Why writes of its guest have failed.
    pub(super) disk_trouble: Option<DiskTrouble>,
    /// Why it has no network.
    pub(super) network_trouble: Option<NetworkTrouble>,
    /// When its time to live ends.
    pub(super) expires_at_ms: Option<i64>,
}

/// Returns the view of a row.
pub(super) fn view(row: &VmRow, presence: Presence) -> VmView {
    let has_changed =
        row.changed_at_ms.zip(row.started_at_ms).is_some_and(|(changed, started)| changed > started);
    let (state, pending) = seen_from_outside(row, presence.way_out);
    VmView {
        id: row.id.clone(),
        name: row.name.clone(),
        state,
        image: row.spec.image.clone(),
        kernel: row.spec.kernel.clone(),
        vcpus: row.spec.vcpus,
        memory_mib: row.spec.memory,
        disk_bytes: row.spec.work_disk,
        overlay_bytes: row.spec.overlay_disk,
        running: other_sizes(row),
        created_at: time_text(row.created_at_ms),
        started_at: row.started_at_ms.map(time_text),
        vmm: row.vmm.clone(),
        pid: presence.pid,
        pending,
        // The agent of a guest that shuts down ends before its machine does.
        is_unresponsive: presence.is_silent && state == VmState::Running && presence.way_out.is_none(),
        unresponsive_since: presence
            .away_since_ms
            .filter(|_since| row.state == VmState::Running)
            .map(time_text),
        paused: presence.paused.filter(|_| row.state == VmState::Running),
        disk_trouble: presence.disk_trouble.filter(|_| row.state == VmState::Running),
        network_trouble: presence.network_trouble.filter(|_| row.state == VmState::Running),
        lost_socket: presence.lost_socket.filter(|_| row.state == VmState::Running),
        needs_restart: match row.machine {
            Some(_) => other_sizes(row).is_some(),
            // An older version started it, and did not note with what.
            None => has_changed && row.state.has_machine(),
        },
        expires_at: presence.expires_at_ms.map(time_text),
        boot_id: row.boot_id.clone(),
        last_error: row.last_error.clone(),
        command: None,
    }
}

/// Returns the state and the work of a VM, with what its guest has begun by itself. The row of a guest that shuts down stays
/// `running` until its machine ends: the guest may stay after all.
fn seen_from_outside(row: &VmRow, way_out: Option<WayOut>) -> (VmState, Option<PendingWork>) {
    let pending = row.pending.map(|pending| match pending {
        Pending::Create => PendingWork::Create,
        Pending::Delete => PendingWork::Delete,
        Pending::Reboot => PendingWork::Reboot,
    });
    match (row.state, way_out) {
        (VmState::Running, Some(WayOut::PowerOff | WayOut::Halt | WayOut::Unknown)) => {
            (VmState::Stopping, pending)
        }
        (VmState::Running, Some(WayOut::Reboot)) => (row.state, pending.or(Some(PendingWork::Reboot))),
        (_, Some(_) | None) => (row.state, pending),
    }
}

/// Returns the sizes of a machine that runs with other ones than its next one will have.
pub(super) fn other_sizes(row: &VmRow) -> Option<VmSizes> {
    row.machine.filter(|sizes| row.state.has_machine() && *sizes != row.spec.sizes())
}

/// Returns a time as RFC 3339 text.
pub(crate) fn time_text(milliseconds: i64) -> String {
    Timestamp::from_millisecond(milliseconds).unwrap_or_default().to_string()
}
