//! Start, stop, restart, kill, delete.

use std::sync::Arc;
use std::time::Duration;

use banger_api::{DeleteVm, KillVm, OperationKind, OperationView, StartVm, StopVm, WaitFor};
use banger_model::{Denied, KillSignal, PullPolicy, VmEvent, VmId, VmRef, VmState};
use banger_store::{Pending, VmRow};
use banger_sys::failpoint;
use banger_sys::process::ProcessIdentity;
use banger_vmm::{KillError, Machine};
use rustix::process::Signal;
use tracing::{info, warn};

use super::boot::DisksReady;
use super::create::failure_event;
use super::doors::CONNECT_DEADLINE;
use super::lifecycle::Lifecycle;
use super::locks::VmGuard;
use super::reason::Reason;
use super::removal::remove_directory;
use super::rows::advance;
use super::undo::UndoList;
use super::{GuestError, GuestFailure, VmError, guest, pause};
use crate::boot_source::WantedImage;
use crate::fault::Fault as _;
use crate::operation::OperationTask;

/// How long a guest gets to stop when nothing is said.
const STOP_GRACE: Duration = Duration::from_secs(20);
/// How long a machine gets to end after another signal than `KILL`.
const SIGNAL_WAIT: Duration = Duration::from_secs(5);
/// How much longer than the guest's own grace its machine may live.
const STOP_MARGIN: Duration = Duration::from_secs(5);

impl Lifecycle {
    /// Begins to start a VM. One that runs already is left as it is, and its caller is told.
    ///
    /// # Errors
    /// [`VmError`] of finding it.
    pub fn start(self: &Arc<Self>, vm: &VmRef, request: &StartVm) -> Result<OperationView, VmError> {
        let (row, wait) = (self.rows.find_usable(vm)?, request.wait);
        let target = row.name.to_string();
        Ok(self.begin(OperationKind::VmStart, &target, move |service, task| {
            let entry = service.boots.register(&row.id, &task);
            async move {
                let _entry = entry;
                let held = service.lock_when_settled(&row, &task).await;
                let held = held.map_err(|error| start_error(error, &row))?;
                service.start_held(&held, &row.id, wait, &task).await.map(Some)
            }
        }))
    }

    /// Takes the lock of a VM to start it. One whose guest shuts down is started after that, and not called running.
    async fn lock_when_settled(&self, row: &VmRow, task: &OperationTask) -> Result<VmGuard, VmError> {
        if self.machines.on_way_out(&row.id).is_some() {
            task.stage("wait for the guest to shut down", "");
            task.unless_cancelled(self.doors.settled(row.clone())).await??;
        }
        self.locks.lock_unless_cancelled(&row.id, task).await
    }

    /// Begins to stop a VM. One that does not run is left as it is, and its caller is told.
    ///
    /// # Errors
    /// [`VmError`] of finding it.
    pub fn stop(self: &Arc<Self>, vm: &VmRef, request: &StopVm) -> Result<OperationView, VmError> {
        self.stop_because(vm, request, Reason::Asked)
    }

    /// As `stop`, for a reason.
    pub(super) fn stop_because(
        self: &Arc<Self>,
        vm: &VmRef,
        request: &StopVm,
        reason: Reason,
    ) -> Result<OperationView, VmError> {
        let (row, grace) = (self.rows.find_usable(vm)?, grace(request));
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
    pub fn restart(self: &Arc<Self>, vm: &VmRef, request: &StopVm) -> Result<OperationView, VmError> {
        let (row, grace) = (self.rows.find_usable(vm)?, grace(request));
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
    pub fn kill(self: &Arc<Self>, vm: &VmRef, request: KillVm) -> Result<OperationView, VmError> {
        let row = self.rows.find(vm)?;
        let target = row.name.to_string();
        Ok(self.begin(OperationKind::VmKill, &target, move |service, task| async move {
            if request.signal != KillSignal::Kill {
                task.stage("signal machine", request.signal.as_str());
                if !service.signal(&row, request.signal).await? {
                    return service.rows.reload(&row.id).map(Some);
                }
            }
            let (held, was_at_work) = service.interrupt(&row, &task).await?;
            let was_at_work = was_at_work || request.signal != KillSignal::Kill;
            let Some(mut row) = service.rows.get(&row.id)? else {
                // It was being made, and its create has undone itself.
                return if was_at_work { Ok(None) } else { Err(VmError::missing(row.name.as_str())) };
            };
            if row.state.has_machine() {
                row.last_error = None;
                service.endings.add(&row, "the VM was killed", false);
                service.rows.record(&held, &mut row, VmEvent::MachineEnded)?;
            } else if !was_at_work {
                task.was_already(not_running(&row));
            } else if row.state == VmState::Stopped && row.last_error.take().is_some() {
                // Its watch was faster than we: a machine that was ended on purpose has no error.
                service.rows.update(&row)?;
            }
            Ok(Some(row))
        }))
    }

    /// Begins to remove a VM with its disks; its machine is ended first.
    ///
    /// # Errors
    /// [`VmError`] of finding it, [`VmError::NotStopped`] when only a stopped one is wanted.
    pub fn delete(self: &Arc<Self>, vm: &VmRef, request: DeleteVm) -> Result<OperationView, VmError> {
        if request.only_stopped {
            return self.delete_stopped(self.rows.find(vm)?);
        }
        self.delete_because(vm, Reason::Asked)
    }

    /// As `delete` of a VM in any state, for a reason.
    pub(super) fn delete_because(
        self: &Arc<Self>,
        vm: &VmRef,
        reason: Reason,
    ) -> Result<OperationView, VmError> {
        let row = self.rows.find(vm)?;
        let target = row.name.to_string();
        Ok(self.begin(OperationKind::VmDelete, &target, move |service, task| async move {
            let (held, _) = service.interrupt(&row, &task).await?;
            // Gone meanwhile, by another delete or the undo of its create: that is what was asked for.
            let Some(row) = service.rows.get(&row.id)? else { return Ok(None) };
            task.stage("remove disks", "");
            service.remove_held(&held, row, reason).await.map(|()| None)
        }))
    }

    /// Begins to remove a VM that has no machine, and gives up when it gets one.
    fn delete_stopped(self: &Arc<Self>, row: VmRow) -> Result<OperationView, VmError> {
        refuse_unless_stopped(&row)?;
        let target = row.name.to_string();
        Ok(self.begin(OperationKind::VmDelete, &target, move |service, task| async move {
            let held = service.locks.lock_unless_cancelled(&row.id, &task).await?;
            let Some(row) = service.rows.get(&row.id)? else { return Ok(None) };
            refuse_unless_stopped(&row)?;
            task.stage("remove disks", "");
            service.remove_held(&held, row, Reason::Asked).await.map(|()| None)
        }))
    }

    /// Sends a signal to a machine's process; tells whether the machine has ended by it.
    async fn signal(&self, row: &VmRow, signal: KillSignal) -> Result<bool, VmError> {
        let Some(machine) = self.machines.get(&row.id) else {
            return Err(VmError::Denied {
                action: "kill",
                name: row.name.clone(),
                source: Denied::NotRunning,
            });
        };
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

    /// Removes a VM: first the wish, so that a dead daemon's successor finishes it, the row last.
    pub(super) async fn remove_held(
        &self,
        _held: &VmGuard,
        mut row: VmRow,
        reason: Reason,
    ) -> Result<(), VmError> {
        self.endings.add(&row, &reason.sentence("deleted"), false);
        if row.state.has_machine() {
            advance(&mut row, VmEvent::MachineEnded)?;
        }
        row.pending = Some(Pending::Delete);
        row.last_error = Some("it is being deleted".to_owned());
        let noted = self.rows.update(&row);
        let id = row.id.as_str();
        for path in [self.paths.vm_runtime(id), self.paths.vm(id)] {
            remove_directory(path).await?;
        }
        self.room.tell_made();
        // A wish that found no room is noted in the room that the disks have left.
        noted.or_else(|_no_room| self.rows.update(&row))?;
        self.rows.remove_because(&row.id, reason.message())?;
        self.usage.forget(&row.id);
        info!(vm = %row.name, "removed");
        Ok(())
    }

    pub(super) async fn start_held(
        self: &Arc<Self>,
        held: &VmGuard,
        id: &VmId,
        wait: WaitFor,
        task: &OperationTask,
    ) -> Result<VmRow, VmError> {
        let mut row = self.rows.reload(id)?;
        match row.pending {
            Some(Pending::Delete) => return Err(VmError::BeingDeleted { name: row.name }),
            // Its machine has ended: what follows is a start like any other, whoever comes first to do it.
            Some(Pending::Reboot) => row.state = row.state.after(VmEvent::MachineEnded).unwrap_or(row.state),
            Some(Pending::Create) | None => {}
        }
        if row.state == VmState::Running {
            return self.runs_already(row, wait, task).await;
        }
        if let Err(source) = row.state.after(VmEvent::BootStarted) {
            return Err(VmError::Denied { action: "start", name: row.name, source });
        }
        self.room.refuse_below_floor()?;
        let vmm = self.choose_vmm(row.vmm_wish)?;
        let image = WantedImage::Named(row.spec.image.clone(), PullPolicy::Missing);
        let ensured = self.source.ensure(&image, Some(&row.spec.kernel), task);
        let ensured =
            task.unless_cancelled(ensured).await.map_err(|error| start_error(error.into(), &row))?;
        let files = ensured.map_err(VmError::BootSource)?;
        let context = self.boot_context(&vmm, &files, task);
        let mut undo = UndoList::default();
        let booted = async {
            let disks = DisksReady::of_existing(row.clone());
            self.boot(&context, &mut undo, disks, wait).await
        };
        let error = match booted.await {
            Ok(row) => return Ok(row),
            Err(error) => start_error(error, &row),
        };
        if error.leaves_vm_running() {
            self.note_failure(held, id, &error)?;
            return Err(error);
        }
        let is_cancelled = matches!(error, VmError::StartCancelled { .. });
        let error = undo.run(&self.rows, error).await;
        self.machines.forget(id);
        let mut row = self.rows.reload(id)?;
        if row.state.has_machine() && !(is_cancelled && self.is_left_to_next_daemon(&row)) {
            row.last_error = (!is_cancelled).then(|| error.message());
            let event = if is_cancelled { VmEvent::MachineEnded } else { failure_event(&row) };
            self.rows.record(held, &mut row, event)?;
        }
        Err(error)
    }

    /// Answers a start of a VM that runs: at once, or when its system is ready, where that is waited for.
    async fn runs_already(&self, row: VmRow, wait: WaitFor, task: &OperationTask) -> Result<VmRow, VmError> {
        task.was_already(format!("VM `{}` is already running", row.name));
        let machine = match wait {
            WaitFor::Agent => None,
            WaitFor::System => self.machines.get(&row.id),
        };
        let Some(machine) = machine else { return Ok(row) };
        task.stage("wait for services", "");
        let deadline = self.config.boot_deadline;
        let system = Box::pin(async {
            let client = guest::connect(&machine, &row, CONNECT_DEADLINE).await?;
            guest::wait_for_system(&machine, &client, &row, deadline).await
        });
        task.unless_cancelled(guest::unless_ended(&machine, &row, system)).await??;
        Ok(row)
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
            if let Some(paused) = pause::reason(&machine).await {
                // It can neither hear nor write: to wait for it would be in vain.
                lost = Some(format!("its guest was paused ({paused}) and was not shut down"));
                task.stage("end machine", &format!("the guest is paused: {paused}"));
            } else {
                task.stage("stop guest", "");
                if !power_off(&machine, &row, grace).await {
                    task.stage("end machine", "the guest did not stop by itself");
                }
            }
            // Forgotten last: a machine that does not end can still be killed.
            self.clean_up(&machine, &row).await?;
            self.machines.forget(id);
        }
        row.last_error = lost;
        self.endings.add(&row, &reason.sentence("stopped"), false);
        self.rows.record_because(held, &mut row, VmEvent::MachineEnded, reason.message())?;
        Ok(row)
    }

    /// Ends a VM's machine, whoever holds its lock: a boot at work is cancelled, and what waits for the machine sees
    /// its end, so that nothing that hangs can hold this up. Returns the lock, and whether there was anything to end.
    async fn interrupt(&self, row: &VmRow, task: &OperationTask) -> Result<(VmGuard, bool), VmError> {
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

fn refuse_unless_stopped(row: &VmRow) -> Result<(), VmError> {
    if row.state.has_machine() || row.pending == Some(Pending::Create) {
        return Err(VmError::NotStopped { name: row.name.clone() });
    }
    Ok(())
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

/// Tells a cancelled start in its own words.
fn start_error(error: VmError, row: &VmRow) -> VmError {
    match error {
        VmError::Cancelled(why) => VmError::StartCancelled { why, name: row.name.clone() },
        error => error,
    }
}

fn grace(request: &StopVm) -> Duration {
    request.grace_secs.map_or(STOP_GRACE, |secs| Duration::from_secs(secs.into()))
}

/// Asks the guest to power off and waits for its machine's end. `false`: it is still there.
async fn power_off(machine: &Arc<dyn Machine>, row: &VmRow, grace: Duration) -> bool {
    // A guest that gets little time does not get more of it for its silence.
    let deadline = CONNECT_DEADLINE.min(grace);
    let asked = async {
        let client = guest::connect(machine, row, deadline).await?;
        failpoint::pass("shut guest down");
        let asked = client.shutdown(false, grace, deadline).await;
        failpoint::pass("guest is shutting down");
        asked.map_err(|source| {
            let (name, why) = (row.name.clone(), GuestFailure::Failed { source });
            VmError::Guest(GuestError { name, console: Vec::new(), why })
        })
    };
    let ended = async {
        if let Err(error) = asked.await {
            warn!(vm = %row.name, %error, "the guest cannot be asked to stop");
            return false;
        }
        std::future::pending().await
    };
    tokio::select! {
        biased;
        _ = machine.ended() => true,
        asked = ended => asked,
        () = tokio::time::sleep(grace + STOP_MARGIN) => false,
    }
}
