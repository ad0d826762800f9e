//! What a dead daemon left, put right at the start of the next: reality wins for processes, the store for wishes.

use std::collections::HashSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use banger_model::{MachineFound, Verdict};
use banger_store::VmRow;
use banger_sys::files::{remove_any, sweep_staging};
use banger_sys::paths::Paths;
use banger_sys::process::ProcessIdentity;
use banger_vmm::handle::HandleError;
use banger_vmm::{Machine, MachineEnd, MachineHandle};
use futures::{StreamExt as _, stream};
use tracing::{info, warn};

use super::ending::Ending;
use super::ending_record::EndingRecord;
use super::lifecycle::Lifecycle;
use super::machines::Machines;
use super::reason::Reason;
use super::removal::remove_sockets;
use super::rows::Rows;
use super::{VmError, way_out};
use crate::boot_source::{OVERLAY_DISK, WORK_DISK};
use crate::fault::chain;
use crate::vmm_source::VmmSource;

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

impl Found {
    fn kind(&self) -> MachineFound {
        match self {
            Self::Machine(_) => MachineFound::Running,
            Self::Nothing => MachineFound::Nothing,
            Self::OutOfReach(_) => MachineFound::OutOfReach,
            Self::Elsewhere(_) => MachineFound::Elsewhere,
        }
    }
}

/// Puts right what a dead daemon left.
pub(super) struct Reconcile {
    pub(super) rows: Rows,
    pub(super) machines: Arc<Machines>,
    pub(super) endings: Arc<EndingRecord>,
    pub(super) lifecycle: Arc<Lifecycle>,
    pub(super) vmms: Arc<dyn VmmSource>,
    pub(super) paths: Paths,
}

impl Reconcile {
    /// Compares rows, processes and directories, and makes them one truth again.
    pub(super) async fn run(&self) -> Result<ReconcileReport, VmError> {
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
            self.lifecycle.begin_reboot(&row, pause);
        }
        self.lifecycle.keep_bound()?;
        info!(?report, "reconciled");
        Ok(report)
    }

    /// Puts one right. What it returns is to be started again after a pause: its guest has rebooted.
    async fn reconcile_vm(
        &self,
        mut row: VmRow,
        report: &mut ReconcileReport,
    ) -> Result<Option<(VmRow, Duration)>, VmError> {
        let lifecycle = &self.lifecycle;
        let held = lifecycle.locks.lock(&row.id).await;
        let found = self.find_machine(&row).await;
        let verdict = Verdict::of(row.state, row.pending, found.kind());
        let is_ours = !matches!(found, Found::Elsewhere(_));
        let why = why(&found);
        match found {
            Found::Machine(machine) if verdict == Verdict::Adopt => {
                report.adopted += 1;
                lifecycle.take_over(&row.id, &machine).await;
                return Ok(None);
            }
            Found::Machine(machine) => lifecycle.clean_up(&machine, &row).await?,
            Found::Nothing | Found::OutOfReach(_) | Found::Elsewhere(_) => {}
        }
        match verdict {
            Verdict::Keep | Verdict::Adopt => {}
            Verdict::EndStray => report.ended += 1,
            Verdict::Remove => {
                report.finished += 1;
                lifecycle.remove_held(&held, row, Reason::Asked).await?;
            }
            Verdict::StartAgain => {
                report.ended += 1;
                return Ok(Some((row, Duration::ZERO)));
            }
            Verdict::RecordEnding => {
                report.ended += 1;
                let ending = self.ending_of(&row);
                let pause = self.endings.write(&held, &mut row, &ending, " (while the daemon was away)")?;
                remove_sockets(&self.paths, &row.id).await?;
                return Ok(pause.map(|pause| (row, pause)));
            }
            Verdict::Stop { event, why: interruption } => {
                report.ended += 1;
                row.last_error = interruption.map(|_| why);
                if let Some(why) = &row.last_error {
                    warn!(vm = %row.name, why, "the VM has no machine any more");
                }
                self.rows.record(&held, &mut row, event)?;
                // Neither the machine of another directory nor its sockets are touched.
                if is_ours {
                    remove_sockets(&self.paths, &row.id).await?;
                }
            }
        }
        Ok(None)
    }

    /// Returns how the latest machine of a VM ended, as far as it has left words of it.
    fn ending_of(&self, row: &VmRow) -> Ending {
        let directory = self.paths.vm(row.id.as_str());
        match banger_vmm::handle::load(&directory) {
            Ok(Some(handle)) => Ending::of(&handle, MachineEnd::Unknown, None, way_out::kept(&directory)),
            Ok(None) | Err(_) => Ending::unknown(),
        }
    }

    async fn find_machine(&self, row: &VmRow) -> Found {
        let out_of_reach = |error: &dyn Error| {
            let reason = format!("its machine could not be taken over: {}", chain(error));
            warn!(vm = %row.name, reason);
            Found::OutOfReach(reason)
        };
        let handle = match banger_vmm::handle::load(&self.paths.vm(row.id.as_str())) {
            Ok(Some(handle)) => handle,
            Ok(None) => return Found::Nothing,
            Err(HandleError::Elsewhere { handle }) => return elsewhere(&handle),
            Err(error) => return out_of_reach(&error),
        };
        let Some(vmm) = self.vmms.of_kind(handle.vmm) else { return Found::Nothing };
        match vmm.adopt(&handle).await {
            Ok(Some(machine)) => Found::Machine(Arc::from(machine)),
            Ok(None) => Found::Nothing,
            Err(error) => out_of_reach(&error),
        }
    }

    /// Removes the directories and processes that belong to no row, but never disks, nor the machine that runs on them: every
    /// row goes after its disks, so they belong to a VM that the database has lost, and may come back with another one.
    fn remove_orphans(&self, owners: &HashSet<String>) -> usize {
        let paths = &self.paths;
        let kept = disks_without_vm(&paths.vms(), owners);
        for directory in &kept {
            warn!(directory = %directory.display(), "disks that belong to no VM are kept");
        }
        let kept_names: HashSet<_> = kept.iter().filter_map(|path| path.file_name()).collect();
        let mut removed = self.vmms.end_orphans(&paths.vm(""), &self.machines.processes(), &kept);
        for parent in [paths.vm(""), paths.vm_runtime("")] {
            for entry in fs::read_dir(&parent).into_iter().flatten().flatten() {
                if kept_names.contains(entry.file_name().as_os_str()) {
                    continue;
                }
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

/// Returns the directories below `vms` that hold a disk and belong to none of these VMs.
pub(crate) fn disks_without_vm(vms: &Path, owners: &HashSet<String>) -> Vec<PathBuf> {
    let directories = fs::read_dir(vms).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_owned =
        |path: &Path| path.file_name().is_some_and(|name| owners.contains(name.to_string_lossy().as_ref()));
    let has_disk = |path: &Path| [OVERLAY_DISK, WORK_DISK].iter().any(|disk| path.join(disk).exists());
    directories.filter(|path| has_disk(path) && !is_owned(path)).collect()
}

/// Tells what a VM that has no machine any more is told of it.
fn why(found: &Found) -> String {
    match found {
        Found::Machine(_) | Found::Nothing => "the daemon ended in the middle of its start".to_owned(),
        // The search for orphans ends its process, if it has one.
        Found::OutOfReach(reason) | Found::Elsewhere(reason) => reason.clone(),
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
