//! Forms of files that others define: archives, compression, and files with holes.

pub(crate) mod archive_path;
pub(crate) mod compression;
pub(crate) mod cpio;
mod decoding_error;
pub(crate) mod sparse;
pub(crate) mod zstd_frames;
