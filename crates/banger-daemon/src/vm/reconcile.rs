//! What a dead daemon left, put right at the start of the next: reality wins for processes, the store for wishes.

use std::collections::HashSet;
use std::error::Error;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use banger_model::VmState;
use banger_store::{Pending, VmRow};
use banger_sys::files::{remove_any, sweep_staging};
use banger_sys::process::ProcessIdentity;
use banger_vmm::handle::HandleError;
use banger_vmm::{Machine, MachineEnd, MachineHandle};
use futures::{StreamExt as _, stream};
use tracing::{info, warn};

use super::ending::Ending;
use super::lifecycle::VmService;
use super::removal::remove_directory;
use super::{VmError, way_out};
use crate::fault::chain;

/// VMs that are looked at at the same time: a machine that takes long to end holds up nobody else.
const AT_ONCE: usize = 16;

/// What was found and done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReconcileReport {
    /// Machines that run and were taken over.
    pub adopted: usize,
    /// VMs whose machine had ended.
    pub ended: usize,
    /// Half-made VMs that were undone and half-removed ones that were finished.
    pub finished: usize,
    /// Directories and processes without an owner that were removed.
    pub orphans: usize,
}

impl ReconcileReport {
    fn and(self, other: Self) -> Self {
        Self {
            adopted: self.adopted + other.adopted,
            ended: self.ended + other.ended,
            finished: self.finished + other.finished,
            orphans: self.orphans + other.orphans,
        }
    }
}

/// What the host says about a VM's machine.
enum Found {
    /// It runs and is ours again.
    Machine(Arc<dyn Machine>),
    /// None runs.
    Nothing,
    /// One may run, and nobody can speak to it.
    OutOfReach(String),
    /// One runs that belongs to the directory of which this one is a copy.
    Elsewhere(String),
}

impl VmService {
    /// Compares rows, processes and directories, and makes them one truth again.
    ///
    /// # Errors
    /// [`VmError::Store`]: without rows nothing can be decided. One VM's trouble is logged and does not stop the rest.
    pub async fn reconcile(self: &Arc<Self>) -> Result<ReconcileReport, VmError> {
        let rows = self.rows.list()?;
        let owners: HashSet<String> = rows.iter().map(|row| row.id.to_string()).collect();
        let each = stream::iter(rows.iter().cloned()).map(|row| async move {
            let (name, mut found) = (row.name.clone(), ReconcileReport::default());
            let again = self.reconcile_vm(row, &mut found).await.unwrap_or_else(|error| {
                warn!(vm = %name, %error, "VM could not be put right");
                None
            });
            (found, again)
        });
        let (mut report, again) = each
            .buffer_unordered(AT_ONCE)
            .fold((ReconcileReport::default(), Vec::new()), async |(all, mut again), (one, row)| {
                again.extend(row);
                (all.and(one), again)
            })
            .await;
        report.orphans = self.remove_orphans(&owners);
        // After the search for orphans, which takes a machine that is just starting for one.
        for (row, pause) in again {
            self.begin_reboot(&row, pause);
        }
        self.keep_bound()?;
        info!(?report, "reconciled");
        Ok(report)
    }

    /// Puts one right. What it returns is to be started again after a pause: its guest has rebooted.
    async fn reconcile_vm(
        self: &Arc<Self>,
        mut row: VmRow,
        report: &mut ReconcileReport,
    ) -> Result<Option<(VmRow, Duration)>, VmError> {
        let held = self.lock(&row.id).await;
        let machine = self.find_machine(&row).await;
        match (row.pending, machine) {
            (Some(Pending::Create | Pending::Delete), machine) => {
                if let Found::Machine(machine) = machine {
                    self.clean_up(&machine, &row).await?;
                }
                report.finished += 1;
                self.remove_held(&held, row).await?;
            }
            (Some(Pending::Reboot), machine) => {
                if let Found::Machine(machine) = machine {
                    self.clean_up(&machine, &row).await?;
                }
                report.ended += 1;
                return Ok(Some((row, Duration::ZERO)));
            }
            (None, Found::Machine(machine)) if row.state == VmState::Running => {
                report.adopted += 1;
                self.adopt_machine(&row.id, Arc::clone(&machine));
                self.find_paused(&row.id, &machine).await;
                self.watch(&row.id, &machine);
            }
            (None, Found::Machine(machine)) => {
                report.ended += 1;
                self.clean_up(&machine, &row).await?;
                self.demote(&mut row, "the daemon ended in the middle of a start or stop").await?;
            }
            (None, Found::Nothing) if row.state == VmState::Running => {
                report.ended += 1;
                let ending = self.ending_of(&row);
                let pause = self.record_ending(&held, &mut row, &ending, " (while the daemon was away)")?;
                remove_directory(self.parts.paths.vm_runtime(row.id.as_str())).await?;
                return Ok(pause.map(|pause| (row, pause)));
            }
            (None, Found::Nothing) if row.state.has_machine() => {
                report.ended += 1;
                let reason = match row.state {
                    VmState::Starting => "the daemon ended in the middle of its start",
                    VmState::Created
                    | VmState::Running
                    | VmState::Stopping
                    | VmState::Stopped
                    | VmState::Failed => "its machine ended while the daemon was away",
                };
                self.demote(&mut row, reason).await?;
            }
            // The search for orphans ends its process, if it has one.
            (None, Found::OutOfReach(reason)) if row.state.has_machine() => {
                report.ended += 1;
                self.demote(&mut row, &reason).await?;
            }
            // Neither the machine nor its sockets are touched.
            (None, Found::Elsewhere(reason)) if row.state.has_machine() => {
                report.ended += 1;
                warn!(vm = %row.name, reason);
                self.note_stopped(&mut row, &reason)?;
            }
            (None, Found::Nothing | Found::OutOfReach(_) | Found::Elsewhere(_)) => {}
        }
        Ok(None)
    }

    /// Returns how the latest machine of a VM ended, as far as it has left words of it.
    fn ending_of(&self, row: &VmRow) -> Ending {
        let directory = self.parts.paths.vm(row.id.as_str());
        match banger_vmm::handle::load(&directory) {
            Ok(Some(handle)) => Ending::of(&handle, MachineEnd::Unknown, None, way_out::kept(&directory)),
            Ok(None) | Err(_) => Ending::unknown(),
        }
    }

    async fn demote(&self, row: &mut VmRow, reason: &str) -> Result<(), VmError> {
        self.note_stopped(row, reason)?;
        remove_directory(self.parts.paths.vm_runtime(row.id.as_str())).await
    }

    fn note_stopped(&self, row: &mut VmRow, reason: &str) -> Result<(), VmError> {
        row.last_error = (row.state != VmState::Stopping).then(|| reason.to_owned());
        row.state = match row.state {
            VmState::Starting => VmState::Failed,
            VmState::Created | VmState::Running | VmState::Stopping | VmState::Stopped | VmState::Failed => {
                VmState::Stopped
            }
        };
        self.rows.update(row)
    }

    async fn find_machine(&self, row: &VmRow) -> Found {
        let out_of_reach = |error: &dyn Error| {
            let reason = format!("its machine could not be taken over: {}", chain(error));
            warn!(vm = %row.name, reason);
            Found::OutOfReach(reason)
        };
        let handle = match banger_vmm::handle::load(&self.parts.paths.vm(row.id.as_str())) {
            Ok(Some(handle)) => handle,
            Ok(None) => return Found::Nothing,
            Err(HandleError::Elsewhere { handle }) => return elsewhere(&handle),
            Err(error) => return out_of_reach(&error),
        };
        let Some(vmm) = self.parts.vmms.of_kind(handle.vmm) else { return Found::Nothing };
        match vmm.adopt(&handle).await {
            Ok(Some(machine)) => Found::Machine(Arc::from(machine)),
            Ok(None) => Found::Nothing,
            Err(error) => out_of_reach(&error),
        }
    }

    /// Removes the directories and processes that belong to no row.
    fn remove_orphans(&self, owners: &HashSet<String>) -> usize {
        let paths = &self.parts.paths;
        let mut removed = self.parts.vmms.end_orphans(&paths.vm(""), &self.machines.processes());
        for parent in [paths.vm(""), paths.vm_runtime("")] {
            for entry in fs::read_dir(&parent).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if owners.contains(&name) {
                    if let Err(error) = sweep_staging(&entry.path()) {
                        warn!(path = %entry.path().display(), %error, "half-written files stay");
                    }
                    continue;
                }
                match remove_any(&entry.path()) {
                    Ok(()) => removed += 1,
                    Err(error) => {
                        warn!(path = %entry.path().display(), %error, "orphan could not be removed");
                    }
                }
            }
        }
        removed
    }
}

/// Judges the machine of a directory of which the VM's is a copy.
fn elsewhere(handle: &MachineHandle) -> Found {
    match ProcessIdentity::from(handle.process).open() {
        Ok(Some(_)) => {
            let original = handle.console_log.parent().unwrap_or(&handle.console_log).display();
            Found::Elsewhere(format!("its machine runs for `{original}`, of which this is a copy"))
        }
        Ok(None) | Err(_) => Found::Nothing,
    }
}
