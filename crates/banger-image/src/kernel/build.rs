//! Makes a local kernel out of a Debian kernel package: download, unpack, take the ELF kernel out, collect the modules.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use banger_sys::exec::{Tool, ToolError};
use banger_sys::files::StagedDirectory;
use futures::future::BoxFuture;

use crate::apt::{self, AptError};
use crate::artifact::{MANIFEST_FILE, Manifest as _, manifest_bytes, record_files};
use crate::blocking::{Cancelled, run_blocking};
use crate::deb::{DebError, unpack_deb};
use crate::host_tools::{MissingTool, require};
use crate::kernel::bzimage::{BzImageError, extract_vmlinux};
use crate::kernel::catalog::KernelEntry;
use crate::kernel::initramfs::{InitramfsError, initramfs, modules_part};
use crate::kernel::manifest::{INITRAMFS, KernelManifest, MODULES_DRIVE, MODULES_PART, VMLINUX, VMLINUZ};
use crate::kernel::modules_drive::{ModulesDriveError, write_modules_drive};
use crate::kernel::refresh::{AgentProgram, RefreshError};
use crate::progress::Progress;

/// The unpacked package, inside the staging directory; gone before that is published.
const TREE: &str = "tree";

/// Why no kernel could be made.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum KernelBuildError {
    #[error("cannot make kernels of `{distro}`; only Debian's can be pulled")]
    UnknownDistro { distro: String },
    #[error("cannot make a kernel on this host")]
    Tool(#[source] MissingTool),
    #[error("cannot get the kernel package")]
    Fetch(#[source] AptError),
    #[error("cannot unpack the kernel package")]
    Unpack(#[source] DebError),
    #[error("the package `{package}` has no `boot/vmlinuz-…`")]
    NoKernel { package: String },
    #[error("the package `{package}` has no modules for `{release}`")]
    NoModules { package: String, release: String },
    #[error("cannot take the ELF kernel out of `{release}`")]
    ExtractVmlinux { release: String, source: BzImageError },
    #[error("cannot list the dependencies of the modules of `{release}`")]
    Depmod { release: String, source: ToolError },
    #[error("cannot make the initramfs")]
    Initramfs(#[source] InitramfsError),
    #[error("cannot take the agent into the initramfs")]
    Agent(#[source] RefreshError),
    #[error("cannot make the modules drive")]
    ModulesDrive(#[source] ModulesDriveError),
    #[error("cannot write `{}`", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot write the manifest of the kernel")]
    Manifest(#[source] serde_json::Error),
}

impl KernelBuildError {
    /// The command that helps, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Tool(missing) => Some(missing.hint()),
            Self::Fetch(error) => error.hint(),
            Self::UnknownDistro { .. }
            | Self::Unpack(_)
            | Self::NoKernel { .. }
            | Self::NoModules { .. }
            | Self::ExtractVmlinux { .. }
            | Self::Depmod { .. }
            | Self::Initramfs(_)
            | Self::Agent(_)
            | Self::ModulesDrive(_)
            | Self::Write { .. }
            | Self::Manifest(_) => None,
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

/// Kernels from Debian packages, through the host's package client.
#[derive(Debug)]
pub(crate) struct DebianKernels {
    pub(crate) agent: std::sync::Arc<AgentProgram>,
}

impl KernelSource for DebianKernels {
    fn build<'a>(
        &'a self,
        entry: &'a KernelEntry,
        staged: StagedDirectory,
        progress: &'a Progress,
    ) -> BoxFuture<'a, Result<StagedDirectory, KernelBuildError>> {
        Box::pin(build_debian_kernel(&self.agent, entry, staged, progress))
    }
}

async fn build_debian_kernel(
    agent: &AgentProgram,
    entry: &KernelEntry,
    staged: StagedDirectory,
    progress: &Progress,
) -> Result<StagedDirectory, KernelBuildError> {
    if entry.distro != "debian" {
        return Err(KernelBuildError::UnknownDistro { distro: entry.distro.clone() });
    }
    require(&["apt-cache", "apt-get", "depmod"]).map_err(KernelBuildError::Tool)?;
    let (agent, agent_sha256) = agent.read().map_err(KernelBuildError::Agent)?;

    let package = apt::newest_dependency(&entry.package, &entry.suite, "linux-image-")
        .await
        .map_err(KernelBuildError::Fetch)?;
    let mib = package.size.map(|size| format!(", {} MB", size / 1_000_000)).unwrap_or_default();
    progress.stage("download kernel package", format!("{}{mib}", package.name));
    let download = staged.path().join("download");
    fs::create_dir(&download).map_err(|source| KernelBuildError::Write { path: download.clone(), source })?;
    let deb = apt::download(&package, &download).await.map_err(KernelBuildError::Fetch)?;

    progress.stage("unpack kernel package", package.name.clone());
    let (staged, unpacked) =
        run_blocking(move |cancelled| unpack(staged, &deb, cancelled).map_err(KernelBuildError::Unpack))
            .await?;
    let release = find_release(staged.path())
        .ok_or_else(|| KernelBuildError::NoKernel { package: package.name.clone() })?;
    let modules = staged.path().join(TREE).join("lib/modules").join(&release);
    if !modules.is_dir() {
        return Err(KernelBuildError::NoModules { package: package.name, release });
    }
    Tool::new("depmod")
        .arg("-b")
        .arg(staged.path().join(TREE))
        .arg(&release)
        .run()
        .await
        .map_err(|source| KernelBuildError::Depmod { release: release.clone(), source })?;

    progress.stage("build initramfs", release.clone());
    let manifest = KernelManifest {
        format_version: KernelManifest::FORMAT_VERSION,
        name: entry.name.clone(),
        distro: entry.distro.clone(),
        arch: entry.arch.clone(),
        version: release,
        files: BTreeMap::new(),
        source: format!("Debian {}: {}", entry.suite, package_text(&package)),
        created_at: jiff::Timestamp::now().to_string(),
        agent_sha256,
    };
    run_blocking(move |cancelled| assemble(staged, &agent, manifest, unpacked.built_at, cancelled)).await
}

fn package_text(package: &apt::Package) -> String {
    format!("{} {}", package.name, package.version.as_deref().unwrap_or_default()).trim_end().to_owned()
}

fn unpack(
    staged: StagedDirectory,
    deb: &Path,
    cancelled: &Cancelled,
) -> Result<(StagedDirectory, crate::deb::Unpacked), DebError> {
    // Newer releases have their modules below `usr`; the tools look in `lib/modules` of both.
    let place = |path: &Path| {
        let path = path.strip_prefix("usr").unwrap_or(path);
        let is_kernel = path.to_str().is_some_and(|path| path.starts_with("boot/vmlinuz-"));
        (is_kernel || path.starts_with("lib/modules")).then(|| path.to_owned())
    };
    let unpacked = unpack_deb(deb, &staged.path().join(TREE), place, cancelled)?;
    Ok((staged, unpacked))
}

fn find_release(staged: &Path) -> Option<String> {
    let entries = fs::read_dir(staged.join(TREE).join("boot")).ok()?;
    entries
        .flatten()
        .find_map(|entry| entry.file_name().to_str()?.strip_prefix("vmlinuz-").map(str::to_owned))
}

/// Makes the files of the kernel out of the unpacked package, and the manifest last.
fn assemble(
    staged: StagedDirectory,
    agent: &[u8],
    mut manifest: KernelManifest,
    built_at: i64,
    cancelled: &Cancelled,
) -> Result<StagedDirectory, KernelBuildError> {
    let home = staged.path();
    let release = manifest.version.clone();
    let tree = home.join(TREE);
    let write = |name: &str, content: &[u8]| {
        let path = home.join(name);
        cancelled
            .check()
            .and_then(|()| fs::write(&path, content))
            .map_err(|source| KernelBuildError::Write { path, source })
    };
    let vmlinuz_path = tree.join("boot").join(format!("vmlinuz-{release}"));
    let vmlinuz =
        fs::read(&vmlinuz_path).map_err(|source| KernelBuildError::Write { path: vmlinuz_path, source })?;
    let elf = extract_vmlinux(&vmlinuz)
        .map_err(|source| KernelBuildError::ExtractVmlinux { release: release.clone(), source })?;
    write(VMLINUZ, &vmlinuz)?;
    write(VMLINUX, &elf)?;
    drop((vmlinuz, elf));

    let modules = tree.join("lib/modules").join(&release);
    let part = modules_part(&modules).map_err(KernelBuildError::Initramfs)?;
    write(MODULES_PART, &part)?;
    write(INITRAMFS, &initramfs(agent, &part))?;
    write_modules_drive(&modules, &home.join(MODULES_DRIVE), built_at, cancelled)
        .map_err(KernelBuildError::ModulesDrive)?;

    for leftover in [tree, home.join("download")] {
        fs::remove_dir_all(&leftover).map_err(|source| KernelBuildError::Write { path: leftover, source })?;
    }
    manifest.files = record_files(home, &[VMLINUZ, VMLINUX, INITRAMFS, MODULES_PART, MODULES_DRIVE])
        .map_err(|(path, source)| KernelBuildError::Write { path, source })?;
    write(MANIFEST_FILE, &manifest_bytes(&manifest).map_err(KernelBuildError::Manifest)?)?;
    Ok(staged)
}
