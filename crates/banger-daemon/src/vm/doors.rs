//! The doors to a guest: streams to its agent, its console, and what `ssh` needs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use banger_model::{Denied, VmRef, VmState};
use banger_store::{Pending, VmRow};
use banger_sys::paths::Paths;
use banger_vmm::{ConnectError, Machine, ProgramLog};
use tokio::net::UnixStream;

use super::command::CommandFiles;
use super::console::ConsoleReader;
use super::machines::Machines;
use super::rows::Rows;
use super::usage::{Usage, UseEntry};
use super::{GuestError, GuestFailure, VmError, pause};
use crate::events::Events;
use crate::ssh_keys::KeyError;

/// How long a running guest may take to take a stream: after it, it is called silent.
pub(super) const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// Lets clients into guests.
pub struct Doors {
    pub(super) rows: Rows,
    pub(super) machines: Arc<Machines>,
    pub(super) usage: Usage,
    pub(super) paths: Paths,
    pub(super) events: Events,
    /// How long a guest that reboots is waited for.
    pub(super) boot_deadline: Duration,
    /// The user's private key, which `ssh` needs.
    pub(super) identity_file: PathBuf,
}

/// What `ssh` needs to enter a VM.
pub struct SshKeys {
    /// Private key that the guest lets in, in OpenSSH's format. A secret.
    pub private_key: String,
    /// The VM's host key as a line of `known_hosts`.
    pub known_host: String,
    /// The name of the host in that line.
    pub host_key_alias: String,
}

/// How long the end of a machine may take to be recorded: what it leaves is removed first.
const RECORD_WAIT: Duration = Duration::from_secs(10);

/// While a guest shuts down: how often it is looked whether it does so still.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Doors {
    /// Opens a stream to a port of a VM's agent. The VM is in use until the entry is dropped.
    ///
    /// # Errors
    /// [`VmError::Closed`] when it does not run, [`VmError::Guest`] when its guest is silent. A guest that shuts down is
    /// not entered: its end is waited for, and its next boot if it reboots.
    pub async fn connect(&self, vm: &VmRef, port: u32) -> Result<(UnixStream, UseEntry), VmError> {
        let mut row = self.settled(self.rows.find_usable(vm)?).await?;
        let mut machine = self.machine_to_enter(&row)?;
        let in_use = self.usage.enter(&row.id);
        let mut stream = machine.connect(port, CONNECT_DEADLINE).await;
        if let Err(ConnectError::MachineEnded) = stream {
            // What becomes of the VM is recorded a moment later: its guest may boot again.
            self.end_recorded(&row, &machine).await;
            row = self.settled(self.rows.reload(&row.id)?).await?;
            machine = self.machine_to_enter(&row)?;
            stream = machine.connect(port, CONNECT_DEADLINE).await;
        }
        match stream {
            Ok(stream) => Ok((stream, in_use)),
            Err(source) => Err(self.connect_error(&row, &machine, source).await),
        }
    }

    /// Waits until the end of a machine is recorded, but not for ever.
    async fn end_recorded(&self, row: &VmRow, machine: &Arc<dyn Machine>) {
        let mut changes = self.events.changes();
        let recorded = async {
            loop {
                changes.mark_unchanged();
                let is_current = self.machines.get(&row.id).is_some_and(|now| Arc::ptr_eq(&now, machine));
                let is_running = |row: VmRow| row.state == VmState::Running;
                let is_open = self.rows.get(&row.id).ok().flatten().is_some_and(is_running);
                if !(is_current || is_open) || changes.changed().await.is_err() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(RECORD_WAIT, recorded).await;
    }

    /// Waits while a VM's guest is on its way out, and while the machine of one that rebooted is started again; not longer than
    /// a boot may take. Returns the row as it is then.
    pub(super) async fn settled(&self, mut row: VmRow) -> Result<VmRow, VmError> {
        let mut changes = self.events.changes();
        let end = Instant::now() + self.boot_deadline;
        loop {
            changes.mark_unchanged();
            row = self.rows.reload(&row.id)?;
            let shuts_down = row.state == VmState::Running && self.machines.on_way_out(&row.id).is_some();
            let reboots = row.state == VmState::Starting && row.pending == Some(Pending::Reboot);
            if !shuts_down && !reboots {
                return Ok(row);
            }
            // What a guest says of itself is no event of its VM: it is looked at again for that as well.
            let pause = LOOK_AGAIN.min(end.saturating_duration_since(Instant::now()));
            if pause.is_zero() {
                return Ok(row);
            }
            let _ = tokio::time::timeout(pause, changes.changed()).await;
        }
    }

    /// Tells why a guest cannot be reached: one that stands still is not to blame for its silence.
    pub(super) async fn connect_error(
        &self,
        row: &VmRow,
        machine: &Arc<dyn Machine>,
        source: ConnectError,
    ) -> VmError {
        let is_silent = matches!(source, ConnectError::Silent { .. });
        let paused = if is_silent { pause::reason(machine).await } else { None };
        let why = paused.map_or(GuestFailure::Unreachable(source), GuestFailure::Paused);
        GuestError::new(row.name.clone(), why).into()
    }

    /// Returns the machine of a VM whose guest can be reached.
    pub(super) fn machine_to_enter(&self, row: &VmRow) -> Result<Arc<dyn Machine>, VmError> {
        let name = || row.name.clone();
        if row.pending == Some(Pending::Delete) {
            return Err(VmError::BeingDeleted { name: name() });
        }
        let state = match (closed(row.state, row.pending), self.machines.get(&row.id)) {
            (Some(state), _) => state,
            (None, None) => Denied::NotRunning,
            (None, Some(machine)) => {
                return match self.machines.paused(&row.id) {
                    Some(reason) => Err(GuestError::new(name(), GuestFailure::Paused(reason)).into()),
                    None => Ok(machine),
                };
            }
        };
        Err(VmError::Closed { name: name(), state })
    }

    /// Opens a VM's console log; with its machine, when it runs, for following.
    ///
    /// # Errors
    /// [`VmError`] of finding it.
    pub fn console(&self, vm: &VmRef) -> Result<ConsoleReader, VmError> {
        let row = self.rows.find(vm)?;
        let path = self.paths.vm(row.id.as_str()).join("console.log");
        ConsoleReader::open(&path, self.machines.get(&row.id))
            .map_err(|source| VmError::Console { name: row.name.clone(), source })
    }

    /// Opens the output of a VM's command; with its machine, when it runs, for following.
    ///
    /// # Errors
    /// [`VmError`] of finding it.
    pub fn command_output(&self, vm: &VmRef) -> Result<ConsoleReader, VmError> {
        let row = self.rows.find(vm)?;
        let files = CommandFiles::of(&self.paths.vm(row.id.as_str()));
        ConsoleReader::of_command(files, self.machines.get(&row.id), self.events.changes())
            .map_err(|source| VmError::Console { name: row.name.clone(), source })
    }

    /// Opens the logs of the VMM and of the processes beside it, each line behind the name of its program; none for a VM
    /// that never ran.
    ///
    /// # Errors
    /// [`VmError`] of finding it.
    pub fn vmm_logs(&self, vm: &VmRef) -> Result<Vec<ConsoleReader>, VmError> {
        let row = self.rows.find(vm)?;
        let handle = banger_vmm::handle::load(&self.paths.vm(row.id.as_str()));
        let logs = handle.ok().flatten().map(|handle| banger_vmm::vmm_logs(&handle)).unwrap_or_default();
        let failed = |source| VmError::Console { name: row.name.clone(), source };
        let open = |log: &ProgramLog| Ok(ConsoleReader::open(&log.path, None)?.labelled(log.program));
        logs.iter().map(|log| open(log).map_err(failed)).collect()
    }

    /// Returns what `ssh` needs to enter a VM.
    ///
    /// # Errors
    /// [`VmError`] of finding it, or [`VmError::Key`].
    pub fn ssh_access(&self, vm: &VmRef) -> Result<SshKeys, VmError> {
        let row = self.rows.find_usable(vm)?;
        let alias = format!("{}.banger", row.id);
        let path = &self.identity_file;
        let private_key = std::fs::read_to_string(path)
            .map_err(|source| VmError::Key(KeyError::Open { path: path.clone(), source }))?;
        let known_host = format!("{alias} {}", row.guest.ssh_host_key_public);
        Ok(SshKeys { private_key, known_host, host_key_alias: alias })
    }
}

/// Tells why the guest of a VM in this state cannot be entered; `None` if it can.
fn closed(state: VmState, pending: Option<Pending>) -> Option<Denied> {
    match (state, pending) {
        (VmState::Running, _) => None,
        (VmState::Stopping, _) => Some(Denied::IsStopping),
        (VmState::Starting, _)
        // Its image may still be pulled, or its guest boots again in a moment.
        | (VmState::Created | VmState::Stopped | VmState::Failed, Some(Pending::Create | Pending::Reboot)) => {
            Some(Denied::IsStarting)
        }
        (VmState::Created | VmState::Stopped | VmState::Failed, Some(Pending::Delete) | None) => {
            Some(Denied::NotRunning)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_its_reason_why_a_guest_cannot_be_entered() {
        use Denied::{IsStarting, IsStopping, NotRunning};
        let rows = [
            (VmState::Created, NotRunning, IsStarting),
            (VmState::Starting, IsStarting, IsStarting),
            (VmState::Stopping, IsStopping, IsStopping),
            (VmState::Stopped, NotRunning, IsStarting),
            (VmState::Failed, NotRunning, IsStarting),
        ];
        for (state, alone, while_made) in rows {
            assert_eq!(closed(state, None), Some(alone), "{state:?}");
            for pending in [Pending::Create, Pending::Reboot] {
                assert_eq!(closed(state, Some(pending)), Some(while_made), "{state:?} {pending:?}");
            }
        }
        assert_eq!(closed(VmState::Running, None), None);
    }
}
