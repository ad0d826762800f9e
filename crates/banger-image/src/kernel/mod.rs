//! Kernels: what the catalog offers, what a local one consists of, and how one is made from a distribution's package.

mod build;
mod bzimage;
mod catalog;
mod initramfs;
mod manifest;
mod modules;
mod modules_drive;
mod refresh;

pub use build::KernelBuildError;
pub(crate) use build::{DebianKernels, KernelSource};
pub use bzimage::BzImageError;
pub use catalog::{KernelEntry, kernel_catalog};
pub use initramfs::InitramfsError;
pub use manifest::{Kernel, KernelManifest};
pub use modules::ModulesError;
pub use modules_drive::ModulesDriveError;
pub use refresh::RefreshError;
pub(crate) use refresh::{AgentProgram, is_stale, refresh_initramfs};
