//! Kernels and images: the catalogs, pulling and building, the local copies, and the disks of a VM.
//!
//! [`ImageService`] is the door: it makes a kernel or an image be there, once, however many callers ask at the same
//! time. What it publishes appears whole or not at all. Nothing here needs root or a mount.

mod apt;
mod artifact;
mod bounded;
mod bundle;
mod catalog;
mod fetch_hint;
mod formats;
#[cfg(fuzzing)]
pub mod fuzzing;
mod host_tools;
mod image;
mod kernel;
mod limits;
mod oci;
mod progress;
mod pull;
mod pull_rules;
mod service;
#[cfg(test)]
mod test_files;

pub use apt::{AptError, PackageSources};
pub use artifact::digest::FileRecord;
pub use artifact::linked_file::LinkedFile;
pub use artifact::store::{Listing, Store, StoreError};
pub use artifact::{Artifact, Manifest};
pub use bounded::read_text;
pub use bundle::{
    BundleError, BundleFetchError, BundleLocation, BundleLocationError, BundlePull, BundlePullError,
    MinisignKey, MinisignKeyError, PackError, PackedBundle, pack_bundle,
};
pub use catalog::{BundleEntry, EntrySource, ImageEntry, image_catalog};
pub use host_tools::{HOST_TOOLS, HostTool, MissingTool};
pub use image::{
    AuthorizedKey, AuthorizedKeyError, BUILD_DIRECTORY, DiskError, FinishError, Image, ImageBuildError,
    ImageManifest, ImageProcess, ImageRegistration, KeyFingerprint, KeyFingerprintError, LinkedFiles,
    ManagedFiles, PromoteError, Recipe, RegisterError, RegisterRequest, Source, WorkSeedError, has_sub_ids,
    make_overlay_disk, make_work_disk,
};
pub use kernel::{
    BzImageError, DebError, ElfError, ImportError, ImportRequest, InitramfsError, Kernel, KernelBuildError,
    KernelBundleError, KernelEntry, KernelImport, KernelManifest, ModuleTreeError, ModulesDriveError,
    ModulesError, PackageError, RefreshError, StackError, kernel_catalog,
};
pub use limits::{OverLimit, PullLimits};
pub use oci::{
    ArchiveInput, CacheError, CredentialsError, DocumentError, FlattenError, LayerError, LayerReadError,
    LocalImageError, NO_INIT, OciPull, OciPullError, OciSource, OciSourceError, PlainHttp, Prune, Pruned,
    Reference, ReferenceError, RegistryError, plain, registry_reference,
};
pub use progress::{Progress, Stage, StagePart};
pub use pull::{PullError, Removal, Replace, Users};
pub use pull_rules::PullRules;
pub use service::{Hold, ImageService};
