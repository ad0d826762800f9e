//! Kernels: what the catalog offers, what a local one consists of, and how one is made out of a distribution's kernel
//! and modules.

mod build;
mod bzimage;
mod catalog;
mod config;
mod deb;
mod elf;
mod import;
mod initramfs;
mod manifest;
pub(crate) mod module_tree;
mod modules;
mod modules_drive;
mod package;
mod refresh;
mod stack;
#[cfg(test)]
pub(crate) mod test_trees;

#[cfg(test)]
pub(crate) use build::FetchPackage;
pub use build::KernelBuildError;
pub(crate) use build::{AptPackages, DebianKernels, KernelSource};
pub use bzimage::BzImageError;
#[cfg(fuzzing)]
pub(crate) use bzimage::{extract_vmlinux, release};
pub use catalog::{KernelEntry, kernel_catalog};
pub use deb::DebError;
#[cfg(fuzzing)]
pub(crate) use deb::{read_control, unpack_deb};
pub use elf::ElfError;
#[cfg(fuzzing)]
pub(crate) use import::unpack_bundle;
pub use import::{ImportError, ImportRequest, KernelBundleError, KernelImport};
pub use initramfs::InitramfsError;
pub use manifest::{Kernel, KernelManifest};
pub use module_tree::ModuleTreeError;
pub use modules::ModulesError;
pub use modules_drive::ModulesDriveError;
pub use package::PackageError;
pub use refresh::RefreshError;
pub(crate) use refresh::{AgentProgram, is_stale, refresh_initramfs};
pub use stack::StackError;
