//! Changes of a VM that need no machine: its sizes, its time to live.

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Arc;

use banger_model::{DiskBytes, MemoryMib, OperationKind, TtlChange, VcpuCount, VmRef};
use banger_store::VmRow;
use banger_sys::failpoint;

use super::VmError;
use super::lifecycle::Lifecycle;
use super::locks::VmGuard;
use crate::boot_source::{OVERLAY_DISK, WORK_DISK};
use crate::clock::now_ms;
use crate::facts::other_sizes;
use crate::operation::{OperationStatus, OperationTask};

/// Other sizes or another time to live. What is absent stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VmChange {
    /// Virtual processors, from the next start on.
    pub vcpus: Option<VcpuCount>,
    /// Memory, from the next start on.
    pub memory: Option<MemoryMib>,
    /// Overlay (`/`), from the next start on; it can only grow.
    pub overlay: Option<DiskBytes>,
    /// Work disk (`/root`), from the next start on; it can only grow.
    pub work: Option<DiskBytes>,
    /// Time to live from now on.
    pub ttl: Option<TtlChange>,
}

impl Lifecycle {
    /// Begins to change a VM's sizes or its time to live. New sizes hold from the next start on; a work disk's file
    /// system grows into its disk then.
    ///
    /// # Errors
    /// [`VmError`] of finding it, [`VmError::NothingToChange`].
    pub fn set(self: &Arc<Self>, vm: &VmRef, change: VmChange) -> Result<OperationStatus, VmError> {
        let row = self.rows.find_usable(vm)?;
        if change == VmChange::default() {
            return Err(VmError::NothingToChange { name: row.name });
        }
        check_growth(&row, change)?;
        let target = row.name.to_string();
        Ok(self.begin(OperationKind::VmSet, &target, move |service, task| async move {
            let held = service.locks.lock_unless_cancelled(&row.id, &task).await?;
            let row = service.rows.reload(&row.id)?;
            let warning =
                change.memory.and_then(|memory| service.supplies.memory_warning(row.vmm_wish, memory));
            if let Some(warning) = warning {
                task.warn(&warning);
            }
            service.set_held(&held, row, change, &task).map(Some)
        }))
    }

    fn set_held(
        &self,
        _held: &VmGuard,
        mut row: VmRow,
        change: VmChange,
        task: &OperationTask,
    ) -> Result<VmRow, VmError> {
        check_growth(&row, change)?;
        let before = row.spec.clone();
        row.spec.vcpus = change.vcpus.unwrap_or(row.spec.vcpus);
        row.spec.memory = change.memory.unwrap_or(row.spec.memory);
        // The disks first: one that is larger than its row says is as good as before.
        let directory = self.supplies.directory(&row.id);
        if let Some(size) = change.overlay {
            grow(&directory.join(OVERLAY_DISK), size)?;
            row.spec.overlay_disk = size;
        }
        if let Some(size) = change.work {
            grow(&directory.join(WORK_DISK), size)?;
            row.spec.work_disk = size;
        }
        if row.spec != before {
            row.changed_at_ms = Some(now_ms());
        }
        if (row.spec.overlay_disk, row.spec.work_disk) != (before.overlay_disk, before.work_disk) {
            self.room.warn_of_size(&row.spec, task);
        }
        if other_sizes(&row).is_some() {
            let name = &row.name;
            task.note(format!(
                "the new sizes of VM `{name}` apply at its next start; restart to apply: banger vm restart {name}"
            ));
        }
        if let Some(ttl) = change.ttl {
            row.ttl = ttl.ttl();
            row.touched_at_ms = Some(now_ms());
        }
        self.rows.update(&row)?;
        self.lifetimes_changed.notify_one();
        Ok(row)
    }

    /// Begins a VM's time to live anew, and counts as a use of it.
    ///
    /// # Errors
    /// [`VmError`] of finding it.
    pub fn touch(self: &Arc<Self>, vm: &VmRef) -> Result<OperationStatus, VmError> {
        let row = self.rows.find_usable(vm)?;
        let target = row.name.to_string();
        Ok(self.begin(OperationKind::VmTouch, &target, move |service, task| async move {
            let _held = service.locks.lock_unless_cancelled(&row.id, &task).await?;
            let mut row = service.rows.reload(&row.id)?;
            row.touched_at_ms = Some(now_ms());
            service.rows.update(&row)?;
            service.usage.note(&row.id);
            Ok(Some(row))
        }))
    }
}

fn check_growth(row: &VmRow, change: VmChange) -> Result<(), VmError> {
    for (disk, is, wanted) in
        [("`/`", row.spec.overlay_disk, change.overlay), ("`/root`", row.spec.work_disk, change.work)]
    {
        if let Some(wanted) = wanted.filter(|wanted| *wanted < is) {
            return Err(VmError::DiskShrinks { name: row.name.clone(), disk, is, wanted });
        }
    }
    Ok(())
}

/// Makes a disk's file longer; the new part is a hole.
fn grow(disk: &Path, size: DiskBytes) -> Result<(), VmError> {
    let failed = |source| VmError::GrowDisk { path: disk.to_owned(), source };
    let file = OpenOptions::new().write(true).open(disk).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    failpoint::pass("grow disk");
    if length < size.get() {
        file.set_len(size.get()).and_then(|()| file.sync_all()).map_err(failed)?;
    }
    failpoint::pass("disk grown");
    Ok(())
}
