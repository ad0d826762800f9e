//! An image as one file: a tar archive, compressed with zstd, with exactly two entries.
//!
//! ```text
//! manifest.json    what is known of the image
//! rootfs.ext4      its root
//! ```
//!
//! What a user knows of a bundle beforehand, its sha256 or the key that it was signed with, is checked while it comes in;
//! nothing of it counts before its last byte was seen. No bundle has a user's key: the work-seed is made where it is used.

mod error;
mod expected;
mod fetch;
mod location;
mod manifest;
mod pack;
mod pull;
mod unpack;

#[cfg(test)]
mod tests;

pub use error::{BundleError, PackError};
pub use expected::{MinisignKey, MinisignKeyError};
pub use fetch::BundleFetchError;
pub use location::{BundleLocation, BundleLocationError};
pub use pack::{PackedBundle, pack_bundle};
pub(crate) use pull::BundleImages;
pub use pull::{BundlePull, BundlePullError};
