//! Why a kernel is not imported.

use std::io;
use std::path::PathBuf;

use banger_model::{Distro, Hint, NameError, Sha256};

use super::KernelBundleError;
use crate::kernel::deb::DebError;
use crate::kernel::{BzImageError, ElfError, ModuleTreeError, PackageError, StackError};

/// Why a kernel is not imported.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum ImportError {
    #[error("cannot read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write `{}`", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("`{}` is not an absolute path", path.display())]
    Relative { path: PathBuf },
    #[error("`{}` is neither a directory, nor a Debian package, nor a bundle compressed with zstd", path.display())]
    UnknownForm { path: PathBuf },
    #[error("`{}` is a file, but `--distro` needs the directory of a root file system", path.display())]
    DistroOfFile { path: PathBuf },
    #[error("`--release` needs `--distro`")]
    ReleaseWithoutDistro,
    #[error("`{}` is a directory; `--sha256` needs a file", path.display())]
    Sha256OfDirectory { path: PathBuf },
    #[error("the sha256 of `{}` is {found}, not {expected}", path.display())]
    OtherSha256 { path: PathBuf, expected: Sha256, found: String },
    #[error("it gives no valid kernel name; choose one with `--name`")]
    NoName { source: NameError },
    #[error("`{}` is not a regular file", path.display())]
    NoFile { path: PathBuf },
    #[error("there is neither `vmlinux` nor `vmlinuz` in `{}`", path.display())]
    NoKernel { path: PathBuf },
    #[error("cannot use the kernel `{}`", path.display())]
    Vmlinuz { path: PathBuf, source: BzImageError },
    #[error("cannot use the kernel `{}`", path.display())]
    Vmlinux { path: PathBuf, source: ElfError },
    #[error("there is no kernel of {distro} in `{}`: {}", path.display(), expected(*distro))]
    NoRootKernel { path: PathBuf, distro: Distro },
    #[error("there are several kernels in `{}`; choose one with `--release`: {found}", path.display())]
    Several { path: PathBuf, found: String },
    #[error("there is no kernel `{release}` in `{}`; it has {found}", path.display())]
    NoRelease { path: PathBuf, release: String, found: String },
    #[error("there are no modules for the kernel `{release}` in `{}`", path.display())]
    NoModules { path: PathBuf, release: String },
    #[error("the package `{}` is for {architecture}, but guests on this host are amd64", path.display())]
    OtherArchitecture { path: PathBuf, architecture: String },
    #[error("the manifest `{}` is invalid", path.display())]
    Manifest { path: PathBuf, source: serde_json::Error },
    #[error("the manifest `{}` has format {version}, but this banger supports {known}", path.display())]
    NewerManifest { path: PathBuf, version: u32, known: u32 },
    #[error("the manifest does not list `{file}`, which every kernel needs")]
    FileNotRecorded { file: &'static str },
    #[error("the manifest lists the unknown file `{file}`")]
    UnknownFile { file: String },
    #[error("`{}` is damaged: its content does not match the manifest", path.display())]
    Damaged { path: PathBuf },
    #[error("cannot read the package")]
    Deb(#[source] DebError),
    #[error("cannot use the package")]
    Package(#[source] PackageError),
    #[error("cannot use the bundle `{}`", path.display())]
    Bundle { path: PathBuf, source: KernelBundleError },
    #[error("cannot copy its modules")]
    ModuleTree(#[source] ModuleTreeError),
    #[error("cannot build the kernel's files")]
    Stack(#[source] StackError),
}

impl ImportError {
    /// The command that helps, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<Hint> {
        match self {
            Self::Stack(error) => error.hint(),
            Self::Read { .. }
            | Self::Write { .. }
            | Self::Relative { .. }
            | Self::UnknownForm { .. }
            | Self::DistroOfFile { .. }
            | Self::ReleaseWithoutDistro
            | Self::Sha256OfDirectory { .. }
            | Self::OtherSha256 { .. }
            | Self::NoName { .. }
            | Self::NoFile { .. }
            | Self::NoKernel { .. }
            | Self::Vmlinuz { .. }
            | Self::Vmlinux { .. }
            | Self::NoRootKernel { .. }
            | Self::Several { .. }
            | Self::NoRelease { .. }
            | Self::NoModules { .. }
            | Self::OtherArchitecture { .. }
            | Self::Manifest { .. }
            | Self::NewerManifest { .. }
            | Self::FileNotRecorded { .. }
            | Self::UnknownFile { .. }
            | Self::Damaged { .. }
            | Self::Deb(_)
            | Self::Package(_)
            | Self::Bundle { .. }
            | Self::ModuleTree(_) => None,
        }
    }

    /// Tells whether the work went wrong, and not what was asked for.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Write { .. } | Self::Stack(_))
    }

    pub(super) fn list(releases: impl Iterator<Item = String>) -> String {
        let releases: Vec<_> = releases.collect();
        if releases.is_empty() { "none".to_owned() } else { releases.join(", ") }
    }
}

fn expected(distro: Distro) -> &'static str {
    match distro {
        Distro::Debian | Distro::Void => "it would be `boot/vmlinuz-<release>`",
        Distro::Alpine => "it would be `boot/vmlinuz-<flavour>`, as in `boot/vmlinuz-virt`",
    }
}
