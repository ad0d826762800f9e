//! Reads tar streams as GNU tar, docker and podman do, as a source of entries.

pub(crate) mod header;
pub(crate) mod member;
pub(crate) mod pax;
pub(crate) mod source;
pub(crate) mod sparse;
