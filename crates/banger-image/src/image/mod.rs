//! Images: what the catalog offers, what a local one consists of, and how one is made from Debian packages.

mod authorized_key;
mod bootstrap;
mod build;
mod build_directory;
mod catalog;
mod contents;
mod distro;
mod finish;
mod home_source;
mod manifest;
mod manifest_form;
mod process;
mod registered;
mod rootfs;
mod sshd;
mod sub_ids;
mod work_seed;

pub use authorized_key::{AuthorizedKey, AuthorizedKeyError, KeyFingerprint, KeyFingerprintError};
pub use build::ImageBuildError;
pub(crate) use build::{DebianImages, ImageSource};
pub use build_directory::BUILD_DIRECTORY;
pub(crate) use build_directory::sweep_build_directories;
pub use catalog::{BundleEntry, EntrySource, ImageEntry, Recipe, image_catalog};
pub(crate) use distro::distro_of;
pub use finish::FinishError;
pub(crate) use finish::{ImageFacts, finish_image, record_rootfs};
pub(crate) use home_source::HomeSource;
pub(crate) use manifest::ROOTFS;
pub use manifest::{Image, ImageManifest, LinkedFiles, ManagedFiles, Source};
pub use process::ImageProcess;
pub(crate) use registered::copy_registered;
pub use registered::{ImageRegistration, PromoteError, RegisterError, RegisterRequest};
pub(crate) use sshd::{SSHD_DROP_IN, SSHD_DROP_IN_PATH};
pub use sub_ids::has_sub_ids;
pub use work_seed::WorkSeedError;
pub(crate) use work_seed::{is_stale, options as format_options, refresh_work_seed, sweep_refreshes};
