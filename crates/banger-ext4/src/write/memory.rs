//! An estimate of the memory that the tree takes.

/// The overhead of an allocation, in bytes.
pub(crate) const ALLOCATION_BYTES: usize = 16;
