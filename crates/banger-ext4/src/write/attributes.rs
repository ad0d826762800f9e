//! Conversion of an entry's metadata to the fields of its inode.

use crate::disk::bytes::low16;
use crate::entry::Metadata;

/// Owner, permissions and times in the form of the inode.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attributes {
    pub(crate) permissions: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: i64,
    pub(crate) mtime_nanos: u32,
}

impl Attributes {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            permissions: low16(metadata.mode & 0o7777),
            uid: metadata.uid,
            gid: metadata.gid,
            mtime: metadata.mtime,
            mtime_nanos: metadata.mtime_nanos.min(999_999_999),
        }
    }

    pub(crate) fn of_root(permissions: u16, created_at: i64) -> Self {
        Self { permissions, uid: 0, gid: 0, mtime: created_at, mtime_nanos: 0 }
    }
}
