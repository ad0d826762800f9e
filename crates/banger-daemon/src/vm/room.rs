//! Room on the disk that holds the VMs: what takes more of it is refused below the floor.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use banger_model::{DiskFloor, DiskRoom, VmSpec, display_rounded};
use banger_sys::host::disk_space;
use tokio::sync::Notify;

use super::VmError;
use crate::operation::OperationTask;

/// The disk that holds the VMs.
#[derive(Clone, Debug)]
pub(super) struct Room {
    /// What lies on the disk that matters.
    path: PathBuf,
    floor: DiskFloor,
    /// Told when something was removed from the disk: a guest may have waited for the room.
    made: Arc<Notify>,
}

impl Room {
    pub(super) fn new(path: PathBuf, floor: DiskFloor) -> Self {
        Self { path, floor, made: Arc::default() }
    }

    /// Tells those who wait for room that something was removed.
    pub(super) fn tell_made(&self) {
        self.made.notify_waiters();
    }

    /// Waits until something was removed, but not longer than this.
    pub(super) async fn made_within(&self, longest: Duration) {
        let _ = tokio::time::timeout(longest, self.made.notified()).await;
    }

    /// Refuses what would take room where too little of it is left.
    ///
    /// # Errors
    /// [`VmError::TooLittleRoom`].
    pub(super) fn refuse_below_floor(&self) -> Result<(), VmError> {
        // A file system that does not tell is not judged.
        let Ok(space) = disk_space(&self.path) else { return Ok(()) };
        let (free_bytes, total_bytes) = (space.free_bytes, space.total_bytes);
        let room = DiskRoom { path: &self.path, free_bytes, total_bytes };
        self.floor.check(&room, 0).map_err(VmError::TooLittleRoom)
    }

    /// Tells whether a guest that stood still because the disk was full may go on.
    pub(super) fn is_there_again(&self) -> bool {
        disk_space(&self.path).is_ok_and(|space| {
            let (free_bytes, total_bytes) = (space.free_bytes, space.total_bytes);
            self.floor.has_room_again(&DiskRoom { path: &self.path, free_bytes, total_bytes })
        })
    }

    /// Says when a VM's disks can grow beyond the host's: they take only what is written, so that this is no error.
    pub(super) fn warn_of_size(&self, spec: &VmSpec, task: &OperationTask) {
        let total = spec.overlay_disk.get().saturating_add(spec.work_disk.get());
        let Ok(space) = disk_space(&self.path) else { return };
        if total > space.total_bytes {
            let (overlay, work) = (spec.overlay_disk, spec.work_disk);
            let has = display_rounded(space.total_bytes);
            task.warn(&format!(
                "its disks can grow to {overlay} and {work}, but the host's disk has only {has}"
            ));
        }
    }
}
