//! Images: what the catalog offers, what a local one consists of, and how one is made from Debian packages.

mod bootstrap;
mod build;
mod build_directory;
mod catalog;
mod contents;
mod manifest;
mod rootfs;
mod sshd;
mod sub_ids;
mod work_seed;

pub use build::ImageBuildError;
pub(crate) use build::{DebianImages, ImageSource};
pub(crate) use build_directory::sweep_build_directories;
pub use catalog::{ImageEntry, image_catalog};
pub use manifest::{Image, ImageManifest};
pub use work_seed::WorkSeedError;
