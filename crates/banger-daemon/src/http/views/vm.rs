//! VMs as clients see them.

use banger_api::{EndingView, PendingWork, SshAccess, VmCommandView, VmView};
use banger_model::{Pending, VmState};
use serde::{Serialize, Serializer};

use crate::clock::time_text;
use crate::facts::{CommandFacts, VmFacts, other_sizes};
use crate::vm::{GuestEnding, SshKeys, VmList};

/// All VMs, written out as a list of [`VmView`]s: each becomes one only when it is its turn.
pub(in crate::http) struct VmListView(pub(in crate::http) VmList);

impl Serialize for VmListView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|facts| vm(&facts)))
    }
}

/// Returns a VM.
pub(in crate::http) fn vm(facts: &VmFacts) -> VmView {
    let VmFacts { row, presence, command: last_command } = facts;
    let has_changed =
        row.changed_at_ms.zip(row.started_at_ms).is_some_and(|(changed, started)| changed > started);
    let (state, pending) = facts.seen_from_outside();
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
        pending: pending.map(|pending| match pending {
            Pending::Create => PendingWork::Create,
            Pending::Delete => PendingWork::Delete,
            Pending::Reboot => PendingWork::Reboot,
        }),
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
        command: last_command.as_ref().map(command),
    }
}

fn command(facts: &CommandFacts) -> VmCommandView {
    VmCommandView {
        argv: facts.argv.clone(),
        is_running: facts.is_running,
        started_at: time_text(facts.started_at_ms),
        ended_at: facts.ended_at_ms.map(time_text),
        exit_code: facts.exit_code,
        signal: facts.signal,
        note: facts.note.clone(),
    }
}

/// Returns how a guest ended.
pub(in crate::http) fn ending(ending: GuestEnding) -> EndingView {
    EndingView { why: ending.why, starts_again: ending.starts_again }
}

/// Returns what `ssh` needs.
pub(in crate::http) fn ssh_access(keys: SshKeys) -> SshAccess {
    let SshKeys { private_key, known_host, host_key_alias } = keys;
    SshAccess { private_key, known_host, host_key_alias }
}
