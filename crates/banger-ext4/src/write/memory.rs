//! How the tree reckons the memory that it takes.

/// What an allocation takes beside its content, in bytes.
pub(crate) const ALLOCATION_BYTES: usize = 16;
