//! The parts of the format that reader and writer share: geometry, checksums, byte order.

pub(crate) mod acl;
pub(crate) mod bytes;
pub(crate) mod checksum;
pub(crate) mod geometry;
pub(crate) mod numbers;
