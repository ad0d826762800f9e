//! Room on the disk that holds the VMs: what takes more of it is refused below the floor.

use std::path::PathBuf;

use banger_model::DiskRoom;
use banger_sys::host::disk_space;

use super::VmError;
use super::service::VmService;

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

    /// What lies on the disk that matters.
    fn disk(&self) -> PathBuf {
        self.parts.paths.vms()
    }
}
