//! The format as reader and writer share it: measures, checksums, bytes in their order.

pub(crate) mod acl;
pub(crate) mod bytes;
pub(crate) mod checksum;
pub(crate) mod geometry;
pub(crate) mod numbers;
