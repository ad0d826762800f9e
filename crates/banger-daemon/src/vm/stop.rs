//! Stop, restart and kill: how the machine of a VM that stays is ended.

use std::sync::Arc;
use std::time::Duration;

use banger_model::{KillSignal, OperationKind, PauseReason, VmEvent, VmId, VmRef, VmState, WaitFor};
use banger_store::VmRow;
use banger_sys::failpoint;
use banger_sys::process::ProcessIdentity;
use banger_vmm::{KillError, Machine};
use rustix::process::Signal;
use tracing::warn;

use super::doors::CONNECT_DEADLINE;
use super::lifecycle::Lifecycle;
use super::locks::VmGuard;
use super::reason::Reason;
use super::{GuestError, GuestFailure, VmError, guest, pause};
use crate::operation::{OperationStatus, OperationTask};

/// How long a guest gets to stop when nothing is said.
const STOP_GRACE: Duration = Duration::from_secs(20);
/// How long a machine gets to end after another signal than `KILL`.
const SIGNAL_WAIT: Duration = Duration::from_secs(5);
/// How much longer than the guest's own grace its machine may live.
const STOP_MARGIN: Duration = Duration::from_secs(5);

impl Lifecycle {
    /// Begins to stop a VM. One that does not run is left as it is, and its caller is told.
    ///
    /// # Errors
    /// [`VmError`] of finding it.
    pub fn stop(self: &Arc<Self>, vm: &VmRef, grace: Option<Duration>) -> Result<OperationStatus, VmError> {
        self.stop_because(vm, grace, Reason::Asked)
    }

    /// As `stop`, for a reason.
    pub(super) fn stop_because(
        self: &Arc<Self>,
        vm: &VmRef,
        grace: Option<Duration>,
        reason: Reason,
    ) -> Result<OperationStatus, VmError> {
        let (row, grace) = (self.rows.find_usable(vm)?, grace.unwrap_or(STOP_GRACE));
        let target = row.name.to_string();
        Ok(self.begin(OperationKind::VmStop, &target, move |service, task| async move {
            let held = service.locks.lock_unless_cancelled(&row.id, &task).await?;
            service.stop_held(&held, &row.id, grace, reason, &task).await.map(Some)
        }))
    }

    /// Begins to stop a VM and to start it again.
    ///
    /// # Errors
    /// [`VmError`] of finding it.
    pub fn restart(
        self: &Arc<Self>,
        vm: &VmRef,
        grace: Option<Duration>,
    ) -> Result<OperationStatus, VmError> {
        let (row, grace) = (self.rows.find_usable(vm)?, grace.unwrap_or(STOP_GRACE));
        let target = row.name.to_string();
        Ok(self.begin(OperationKind::VmRestart, &target, move |service, task| {
            let entry = service.boots.register(&row.id, &task);
            async move {
                let _entry = entry;
                let held = service.locks.lock_unless_cancelled(&row.id, &task).await?;
                // A VM that could not be started again is not stopped.
                service.room.refuse_below_floor()?;
                if service.rows.reload(&row.id)?.state.has_machine() {
                    service.stop_held(&held, &row.id, grace, Reason::Asked, &task).await?;
                }
                service.start_held(&held, &row.id, WaitFor::Agent, &task).await.map(Some)
            }
        }))
    }

    /// Begins to end a VM's machine at once, whatever else is done with the VM. Where there is none, nothing is to be done,
    /// and the caller is told. Another signal than `KILL` is sent to its
    /// process once; the machine may go on after it.
    ///
    /// # Errors
    /// [`VmError`] of finding it.
    pub fn kill(self: &Arc<Self>, vm: &VmRef, wanted: KillSignal) -> Result<OperationStatus, VmError> {
        let row = self.rows.find(vm)?;
        let target = row.name.to_string();
        Ok(self.begin(OperationKind::VmKill, &target, move |service, task| async move {
            if wanted != KillSignal::Kill {
                task.stage("signal machine", wanted.as_str());
                let Some(machine) = service.machines.get(&row.id) else {
                    return Err(VmError::NotSignalled { name: row.name, signal: wanted });
                };
                if !signal(&row, &machine, wanted).await? {
                    return service.rows.reload(&row.id).map(Some);
                }
            }
            let (held, was_at_work) = service.interrupt(&row, &task).await?;
            let was_at_work = was_at_work || wanted != KillSignal::Kill;
            let Some(mut row) = service.rows.get(&row.id)? else {
                // It was being made, and its create has undone itself.
                return if was_at_work { Ok(None) } else { Err(VmError::missing(row.name.as_str())) };
            };
            if row.state.has_machine() {
                row.last_error = None;
                service.endings.tell(&row, "the VM was killed");
                service.rows.record_because(&held, &mut row, VmEvent::MachineEnded, Some("it was killed"))?;
            } else if !was_at_work {
                task.was_already(not_running(&row));
            } else if row.state == VmState::Stopped && row.last_error.take().is_some() {
                // Its watch was faster than we: a machine that was ended on purpose has no error.
                service.rows.update(&row)?;
            }
            Ok(Some(row))
        }))
    }

    async fn stop_held(
        &self,
        held: &VmGuard,
        id: &VmId,
        grace: Duration,
        reason: Reason,
        task: &OperationTask,
    ) -> Result<VmRow, VmError> {
        let mut row = self.rows.reload(id)?;
        if !row.state.has_machine() {
            task.was_already(not_running(&row));
            return Ok(row);
        }
        let mut lost = None;
        self.rows.record(held, &mut row, VmEvent::StopStarted)?;
        if let Some(machine) = self.machines.get(id) {
            let way = if let Some(paused) = pause::reason(&machine).await {
                PowerOff::Paused(paused)
            } else {
                task.stage("stop guest", "");
                power_off(&machine, &row, grace).await
            };
            match way {
                PowerOff::Ended => {}
                PowerOff::Ignored => {
                    lost = Some("its guest did not stop by itself and was ended".to_owned());
                    task.stage("end machine", "the guest did not stop by itself");
                }
                // It can neither hear nor write: to wait for it would be in vain.
                PowerOff::Paused(paused) => {
                    lost = Some(format!("its guest was paused ({paused}) and was not shut down"));
                    task.stage("end machine", &format!("the guest is paused: {paused}"));
                }
            }
            // Forgotten last: a machine that does not end can still be killed.
            self.clean_up(&machine, &row).await?;
            self.machines.forget(id);
        }
        let why = reason.message().or(lost.as_deref());
        row.last_error = lost.clone();
        self.endings.tell(&row, &reason.sentence("stopped"));
        self.rows.record_because(held, &mut row, VmEvent::MachineEnded, why)?;
        Ok(row)
    }

    /// Ends a VM's machine, whoever holds its lock: a boot at work is cancelled, and what waits for the machine sees
    /// its end, so that nothing that hangs can hold this up. Returns the lock, and whether there was anything to end.
    pub(super) async fn interrupt(
        &self,
        row: &VmRow,
        task: &OperationTask,
    ) -> Result<(VmGuard, bool), VmError> {
        if row.state.has_machine() || self.machines.get(&row.id).is_some() {
            task.stage("end machine", "");
        }
        let is_booting = self.boots.cancel(&row.id);
        let machine = self.machines.get(&row.id);
        let killed = async {
            match &machine {
                Some(machine) => machine.kill().await.map(|()| true),
                None => Ok(false),
            }
        };
        // The lock's queue is joined at once, so that a start which is asked for later comes after.
        let (held, killed) = tokio::join!(self.locks.lock(&row.id), killed);
        let mut is_ended = killed.map_err(|source| VmError::Kill { name: row.name.clone(), source })?;
        // A start may have been in the queue before us, or too far to be cancelled.
        if let Some(machine) = self.machines.get(&row.id) {
            self.clean_up(&machine, row).await?;
            self.machines.forget(&row.id);
            is_ended = true;
        }
        Ok((held, is_booting || is_ended))
    }
}

/// Sends a signal to a machine's process; tells whether the machine has ended by it.
async fn signal(row: &VmRow, machine: &Arc<dyn Machine>, signal: KillSignal) -> Result<bool, VmError> {
    let process = machine.handle().process;
    let failed = |source| VmError::Kill {
        name: row.name.clone(),
        source: KillError::Signal { pid: process.pid, source },
    };
    if let Some(process) = ProcessIdentity::from(process).open().map_err(failed)? {
        process.signal(number(signal)).map_err(failed)?;
    }
    Ok(tokio::time::timeout(SIGNAL_WAIT, machine.ended()).await.is_ok())
}

fn number(signal: KillSignal) -> Signal {
    match signal {
        KillSignal::Kill => Signal::KILL,
        KillSignal::Term => Signal::TERM,
        KillSignal::Int => Signal::INT,
        KillSignal::Hup => Signal::HUP,
        KillSignal::Quit => Signal::QUIT,
        KillSignal::Abrt => Signal::ABORT,
        KillSignal::Usr1 => Signal::USR1,
        KillSignal::Usr2 => Signal::USR2,
    }
}

fn not_running(row: &VmRow) -> String {
    format!("VM `{}` is not running", row.name)
}

/// How a guest that was asked to power off has taken it.
enum PowerOff {
    /// Its machine has ended.
    Ended,
    /// Its machine is still there.
    Ignored,
    /// It stands still, because the host's disk does not take what it writes.
    Paused(PauseReason),
}

/// Asks the guest to power off and waits for its machine's end. A guest writes while it shuts down, and may stand still only
/// then.
async fn power_off(machine: &Arc<dyn Machine>, row: &VmRow, grace: Duration) -> PowerOff {
    // A guest that gets little time does not get more of it for its silence.
    let deadline = CONNECT_DEADLINE.min(grace);
    let asked = async {
        let client = guest::connect(machine, row, deadline).await?;
        failpoint::pass("shut guest down");
        let asked = client.shutdown(false, grace, deadline).await;
        failpoint::pass("guest is shutting down");
        asked.map_err(|source| VmError::from(GuestError::new(row.name.clone(), GuestFailure::Failed(source))))
    };
    let ended = async {
        if let Err(error) = asked.await {
            warn!(vm = %row.name, %error, "the guest cannot be asked to stop");
            return PowerOff::Ignored;
        }
        std::future::pending().await
    };
    tokio::select! {
        biased;
        _ = machine.ended() => PowerOff::Ended,
        paused = pause::stands_still(machine) => PowerOff::Paused(paused),
        asked = ended => asked,
        () = tokio::time::sleep(grace + STOP_MARGIN) => PowerOff::Ignored,
    }
}
