//! What is kept of an entry beside its contents.

use rustix::fs::{Stat, Timespec, Timestamps, UTIME_OMIT};

/// Permissions, owner and time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Permission bits with those for set-user-id, set-group-id and sticky: 0 to 0o7777.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// When its contents changed last: seconds since the Unix epoch.
    pub modified_seconds: i64,
    /// The rest of it, 0 to 999,999,999.
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

    /// The time of change; the time of access stays.
    pub(crate) fn timestamps(&self) -> Timestamps {
        let modified = Timespec { tv_sec: self.modified_seconds, tv_nsec: self.modified_nanos.into() };
        Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification: modified }
    }
}
