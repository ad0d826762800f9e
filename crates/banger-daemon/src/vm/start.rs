//! Start a VM that exists.

use std::sync::Arc;

use banger_image::{Image, NO_INIT, plain};
use banger_model::{OperationKind, PullPolicy, VmEvent, VmId, VmRef, VmState, WaitFor};
use banger_store::{Pending, VmRow};

use super::boot::DisksReady;
use super::create::failure_event;
use super::doors::CONNECT_DEADLINE;
use super::lifecycle::Lifecycle;
use super::locks::VmGuard;
use super::undo::UndoList;
use super::{VmError, guest};
use crate::boot_source::WantedImage;
use crate::fault::Fault as _;
use crate::operation::{OperationStatus, OperationTask};

/// As much of an image's command as a note shows.
const COMMAND_CHARACTERS_MAX: usize = 80;

impl Lifecycle {
    /// Begins to start a VM. One that runs already is left as it is, and its caller is told.
    ///
    /// # Errors
    /// [`VmError`] of finding it.
    pub fn start(self: &Arc<Self>, vm: &VmRef, wait: WaitFor) -> Result<OperationStatus, VmError> {
        let row = self.rows.find_usable(vm)?;
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
        let vmm = self.supplies.choose_vmm(row.vmm_wish)?;
        let image = WantedImage::Named(row.spec.image.clone(), PullPolicy::Missing);
        let files = self.supplies.boot_files(&image, Some(&row.spec.kernel), task).await;
        let files = files.map_err(|error| start_error(error, &row))?;
        let context = self.boot_context(&vmm, &files, task);
        let mut undo = UndoList::default();
        let booted = async {
            let disks = DisksReady::of_existing(row.clone());
            self.boot(&context, &mut undo, disks, wait).await
        };
        let error = match booted.await {
            Ok(row) => {
                if let Some(note) = command_left_alone(&files.image) {
                    task.note(note);
                }
                return Ok(row);
            }
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
        if row.state.has_machine() && !(is_cancelled && self.records.is_left_to_next_daemon(&row)) {
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
        let deadline = self.supplies.config.boot_deadline;
        let system = Box::pin(async {
            let client = guest::connect(&machine, &row, CONNECT_DEADLINE).await?;
            guest::wait_for_system(&machine, &client, &row, deadline).await
        });
        task.unless_cancelled(guest::unless_ended(&machine, &row, system)).await??;
        Ok(row)
    }
}

/// Says that a start runs no command of the image: `vm run` ran it for its caller, with that caller's streams and exit
/// status, and nobody knows whether it is meant to run again. An init of the image has booted, and needs no word.
fn command_left_alone(image: &Image) -> Option<String> {
    let command = image.manifest.process.as_ref().map(|process| process.command.join(" "))?;
    let has_init = image.manifest.init.as_deref() != Some(NO_INIT);
    let command = plain(&command, COMMAND_CHARACTERS_MAX);
    let sentence = format!("a start does not run the image's command (`{command}`); `vm exec` can run it");
    (!command.is_empty() && !has_init).then_some(sentence)
}

/// Tells a cancelled start in its own words.
fn start_error(error: VmError, row: &VmRow) -> VmError {
    match error {
        VmError::Cancelled(why) => VmError::StartCancelled { why, name: row.name.clone() },
        error => error,
    }
}
