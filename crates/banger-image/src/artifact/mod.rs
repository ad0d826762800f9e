//! What kernels and images have in common: a directory with a manifest that tells of its files.

pub(crate) mod digest;
pub(crate) mod linked_file;
mod manifest;
pub(crate) mod store;

pub use manifest::{Artifact, Manifest};
pub(crate) use manifest::{MANIFEST_FILE, manifest_bytes, record_files};
