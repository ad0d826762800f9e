//! Images in the form of the Open Container Initiative: found by reference, fetched from a registry into a cache of blobs,
//! or read from a layout or an archive on this host, and flattened into the root of a guest.
//!
//! ```text
//! reference ─▶ registry (credentials, tokens) ─▶ manifest, config ─▶ layers into the cache ─▶ flatten ─▶ rootfs.ext4
//! ```

mod archive;
mod authorization;
mod cache;
mod certificates;
mod credentials;
mod digest;
mod documents;
mod download;
mod endpoint;
#[cfg(test)]
mod fake_registry;
mod finish;
mod flatten;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod images;
mod layer;
mod layer_progress;
mod layout;
mod left_out;
mod local;
mod local_image;
mod login;
mod null;
mod platform;
mod pull;
mod pull_error;
mod reference;
mod refusal;
mod registry;
mod registry_error;
mod resolve;
mod room;
mod secret;
mod source;
mod system;
#[cfg(test)]
mod test_layers;
mod text;
mod unpack;
mod wanted;

pub use cache::{CacheError, Prune, Pruned};
pub use credentials::CredentialsError;
pub use documents::DocumentError;
pub use endpoint::PlainHttp;
pub use flatten::{FlattenError, LayerError};
pub(crate) use images::OciImages;
pub use layer::LayerReadError;
pub use local::ArchiveInput;
pub use local_image::LocalImageError;
pub use pull_error::OciPullError;
pub use reference::{Reference, ReferenceError};
pub use registry_error::RegistryError;
pub use source::registry_reference;
pub use source::{OciSource, OciSourceError};
pub(crate) use source::{is_of_registry, place_of};
pub use system::NO_INIT;
pub use text::plain;
pub use wanted::OciPull;
