//! The metadata of an entry.

use rustix::fs::{Stat, Timespec, Timestamps, UTIME_OMIT};

/// Permissions, owner and time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Permission bits including set-user-id, set-group-id and sticky: 0 to 0o7777.
    pub mode: u32,
    /// User ID of the owner.
    pub uid: u32,
    /// Group ID.
    pub gid: u32,
    /// When the contents last changed, in seconds since the Unix epoch.
    pub modified_seconds: i64,
    /// The nanoseconds of that time, 0 to 999,999,999.
    pub modified_nanos: u32,
}

impl Metadata {
    pub(crate) fn of(stat: &Stat) -> Self {
        Self {
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            modified_seconds: stat.st_mtime,
            modified_nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
        }
    }

    /// Returns the modification time to set; the access time stays.
    pub(crate) fn timestamps(&self) -> Timestamps {
        let modified = Timespec { tv_sec: self.modified_seconds, tv_nsec: self.modified_nanos.into() };
        Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification: modified }
    }
}
