//! Makes a local kernel out of a Debian kernel package of the catalog: download, unpack, make the boot stack.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use banger_model::Hint;
use banger_sys::files::StagedDirectory;
use futures::future::BoxFuture;

use crate::apt::{self, AptError};
use crate::host_tools::{MissingTool, require};
use crate::kernel::catalog::KernelEntry;
use crate::kernel::package::{PackageError, unpack_package};
use crate::kernel::refresh::AgentProgram;
use crate::kernel::stack::{Origin, StackError, WORK, make_stack};
use crate::progress::Progress;

/// Why no kernel could be made.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum KernelBuildError {
    #[error("kernels of `{distro}` cannot be pulled, only Debian's")]
    UnknownDistro { distro: String },
    #[error("cannot build a kernel on this host")]
    Tool(#[source] MissingTool),
    #[error("cannot download the kernel package")]
    Fetch(#[source] AptError),
    #[error("cannot write `{}`", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot use the kernel package")]
    Package(#[source] PackageError),
    #[error("cannot build the kernel's files")]
    Stack(#[source] StackError),
}

impl KernelBuildError {
    /// The command that helps, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<Hint> {
        match self {
            Self::Tool(missing) => Some(missing.hint()),
            Self::Fetch(error) => error.hint(),
            Self::Stack(error) => error.hint(),
            Self::UnknownDistro { .. } | Self::Write { .. } | Self::Package(_) => None,
        }
    }
}

/// Fills a staging directory with a kernel. A second one exists in the tests.
pub(crate) trait KernelSource: Send + Sync {
    /// Fills the directory, down to the manifest, and gives it back.
    fn build<'a>(
        &'a self,
        entry: &'a KernelEntry,
        staged: StagedDirectory,
        progress: &'a Progress,
    ) -> BoxFuture<'a, Result<StagedDirectory, KernelBuildError>>;
}

/// Gets the package of a catalog's kernel. A second one exists in the tests.
pub(crate) trait FetchPackage: Send + Sync {
    /// Puts the package into `directory`; returns where it is, and what it is for people.
    fn fetch<'a>(
        &'a self,
        entry: &'a KernelEntry,
        directory: PathBuf,
        progress: &'a Progress,
    ) -> BoxFuture<'a, Result<(PathBuf, String), KernelBuildError>>;
}

/// Packages through the host's package client.
#[derive(Debug)]
pub(crate) struct AptPackages;

impl FetchPackage for AptPackages {
    fn fetch<'a>(
        &'a self,
        entry: &'a KernelEntry,
        directory: PathBuf,
        progress: &'a Progress,
    ) -> BoxFuture<'a, Result<(PathBuf, String), KernelBuildError>> {
        Box::pin(async move {
            require(&["apt-cache", "apt-get"]).map_err(KernelBuildError::Tool)?;
            let found = apt::newest_dependency(&entry.package, &entry.suite, "linux-image-").await;
            let package = found.map_err(KernelBuildError::Fetch)?;
            let mib = package.size.map(|size| format!(", {} MB", size / 1_000_000)).unwrap_or_default();
            progress.stage("download kernel package", format!("{}{mib}", package.name));
            let deb = apt::download(&package, &directory).await.map_err(KernelBuildError::Fetch)?;
            let version = package.version.as_deref().unwrap_or_default();
            let text = format!("Debian {}: {} {version}", entry.suite, package.name);
            Ok((deb, text.trim_end().to_owned()))
        })
    }
}

/// Kernels from Debian packages.
pub(crate) struct DebianKernels {
    pub(crate) packages: Box<dyn FetchPackage>,
    pub(crate) agent: Arc<AgentProgram>,
}

impl KernelSource for DebianKernels {
    fn build<'a>(
        &'a self,
        entry: &'a KernelEntry,
        staged: StagedDirectory,
        progress: &'a Progress,
    ) -> BoxFuture<'a, Result<StagedDirectory, KernelBuildError>> {
        Box::pin(self.build_kernel(entry, staged, progress))
    }
}

impl DebianKernels {
    async fn build_kernel(
        &self,
        entry: &KernelEntry,
        staged: StagedDirectory,
        progress: &Progress,
    ) -> Result<StagedDirectory, KernelBuildError> {
        if entry.distro != "debian" {
            return Err(KernelBuildError::UnknownDistro { distro: entry.distro.clone() });
        }
        let download = staged.path().join(WORK).join("download");
        fs::create_dir_all(&download)
            .map_err(|source| KernelBuildError::Write { path: download.clone(), source })?;
        let (deb, source) = self.packages.fetch(entry, download, progress).await?;
        let unpacked = unpack_package(staged, deb, progress).await;
        let (staged, parts) = unpacked.map_err(KernelBuildError::Package)?;
        let origin = Origin {
            name: entry.name.clone(),
            distro: entry.distro.clone(),
            arch: entry.arch.clone(),
            source,
        };
        make_stack(staged, parts, origin, &self.agent, progress).await.map_err(KernelBuildError::Stack)
    }
}
