//! Room on the disk that holds the VMs: what takes more of it is refused below the floor.

use std::path::PathBuf;

use banger_model::{DiskRoom, VmSpec, display_rounded};
use banger_sys::host::disk_space;

use super::VmError;
use super::lifecycle::VmService;
use crate::operation::OperationTask;

impl VmService {
    /// Refuses what would take room where too little of it is left.
    ///
    /// # Errors
    /// [`VmError::TooLittleRoom`].
    pub(super) fn refuse_below_floor(&self) -> Result<(), VmError> {
        let path = self.disk();
        // A file system that does not tell is not judged.
        let Ok(space) = disk_space(&path) else { return Ok(()) };
        let room = DiskRoom { path: &path, free_bytes: space.free_bytes, total_bytes: space.total_bytes };
        self.parts.config.disk_floor.check(&room, 0).map_err(VmError::TooLittleRoom)
    }

    /// Tells whether a guest that stood still because the disk was full may go on.
    pub(super) fn has_room_again(&self) -> bool {
        let path = self.disk();
        disk_space(&path).is_ok_and(|space| {
            let room = DiskRoom { path: &path, free_bytes: space.free_bytes, total_bytes: space.total_bytes };
            self.parts.config.disk_floor.has_room_again(&room)
        })
    }

    /// Says when a VM's disks can grow beyond the host's: they take only what is written, so that this is no error.
    pub(super) fn warn_of_size(&self, spec: &VmSpec, task: &OperationTask) {
        let total = spec.overlay_disk.get().saturating_add(spec.work_disk.get());
        let Ok(space) = disk_space(&self.disk()) else { return };
        if total > space.total_bytes {
            let (overlay, work) = (spec.overlay_disk, spec.work_disk);
            let has = display_rounded(space.total_bytes);
            task.warn(&format!(
                "its disks can grow to {overlay} and {work}, but the host's disk has only {has}"
            ));
        }
    }

    /// What lies on the disk that matters.
    fn disk(&self) -> PathBuf {
        self.parts.paths.vms()
    }
}
