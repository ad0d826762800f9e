//! Makes a boot stack, the content of a kernel's directory, out of a kernel and its modules:
//!
//! ```text
//! vmlinuz ─▶ vmlinux ─▶ is it usable? ─▶ depmod ─▶ modules.cpio ─▶ initramfs ─▶ modules.ext4 ─▶ manifest.json
//! ```
//! Where the parts come from is the caller's affair; each step is told as a stage, and none touches what is published.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use banger_model::{Hint, KernelName};
use banger_sys::blocking::{Cancelled, run_blocking};
use banger_sys::exec::{Tool, ToolError};
use banger_sys::files::StagedDirectory;

use crate::artifact::{MANIFEST_FILE, Manifest as _, manifest_bytes, record_files};
use crate::bounded::read_file;
use crate::host_tools::{MissingTool, require};
use crate::kernel::bzimage::{self, BzImageError, KERNEL_BYTES_MAX, extract_vmlinux};
use crate::kernel::config::{self, KernelConfig, Lacking};
use crate::kernel::elf::{ElfError, ElfKernel, first_missing};
use crate::kernel::initramfs::{InitramfsError, initramfs, modules_part, no_modules_part};
use crate::kernel::manifest::{INITRAMFS, KernelManifest, MODULES_DRIVE, MODULES_PART, VMLINUX, VMLINUZ};
use crate::kernel::module_tree::ModuleTree;
use crate::kernel::modules_drive::{ModulesDriveError, write_modules_drive};
use crate::kernel::refresh::{AgentProgram, RefreshError};
use crate::progress::Progress;

/// What is only needed while a kernel is made, inside the staging directory; gone before that is published.
pub(crate) const WORK: &str = "work";

/// Drivers without which no guest finds its disks and its agent. Their names stand in a kernel that has them built in.
/// Larger than a kernel with all that a debugger wants.
const PART_BYTES_MAX: u64 = 2 << 30;
const DRIVERS: [&str; 3] = ["virtio-mmio", "virtio_blk", "virtio_console"];

/// Why no boot stack could be made.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum StackError {
    #[error("cannot build a kernel on this host")]
    Tool(#[source] MissingTool),
    #[error("cannot read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot extract the ELF kernel from `{}`", path.display())]
    ExtractVmlinux { path: PathBuf, source: BzImageError },
    #[error("`{}` is larger than {} GiB", path.display(), PART_BYTES_MAX >> 30)]
    TooLarge { path: PathBuf },
    #[error("cannot use the kernel `{}`", path.display())]
    Kernel { path: PathBuf, source: ElfError },
    #[error(
        "the files do not belong together: the {one} is for `{one_release}`, the {other} for `{other_release}`"
    )]
    OtherRelease { one: &'static str, one_release: String, other: &'static str, other_release: String },
    #[error(
        "QEMU cannot boot the kernel `{release}`: it is an ELF file without a PVH entry; provide its vmlinuz, too"
    )]
    NoEntry { release: String },
    #[error("the kernel `{release}` has no modules and no built-in `{driver}`; provide its modules, too")]
    NotBuiltIn { release: String, driver: &'static str },
    #[error("the kernel `{release}` cannot boot: its configuration lacks {}", .options.join(", "))]
    Options { release: String, options: Vec<String> },
    #[error("cannot list the dependencies of the modules of `{release}`")]
    Depmod { release: String, source: ToolError },
    #[error("cannot build the initramfs")]
    Initramfs(#[source] InitramfsError),
    #[error("cannot add the agent to the initramfs")]
    Agent(#[source] RefreshError),
    #[error("cannot create the modules drive")]
    ModulesDrive(#[source] ModulesDriveError),
    #[error("cannot write `{}`", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot write the manifest of the kernel")]
    Manifest(#[source] serde_json::Error),
}

impl StackError {
    /// The command that helps, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<Hint> {
        match self {
            Self::Tool(missing) => Some(missing.hint()),
            Self::Read { .. }
            | Self::ExtractVmlinux { .. }
            | Self::Kernel { .. }
            | Self::OtherRelease { .. }
            | Self::NoEntry { .. }
            | Self::NotBuiltIn { .. }
            | Self::Options { .. }
            | Self::Depmod { .. }
            | Self::Initramfs(_)
            | Self::Agent(_)
            | Self::ModulesDrive(_)
            | Self::Write { .. }
            | Self::TooLarge { .. }
            | Self::Manifest(_) => None,
        }
    }
}

/// The kernel in the forms that are there.
#[derive(Clone, Debug)]
pub(crate) enum KernelImage {
    /// A bzImage; the ELF kernel is inside.
    Compressed(PathBuf),
    /// An ELF file.
    Elf(PathBuf),
    /// Both.
    Both { compressed: PathBuf, elf: PathBuf },
}

/// What a boot stack is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) image: KernelImage,
    /// Its modules; without them everything must be built in.
    pub(crate) modules: Option<ModuleTree>,
    /// Every time in the modules drive, in Unix seconds.
    pub(crate) built_at: i64,
    /// The kernel's configuration, where it lies beside it.
    pub(crate) config: Option<String>,
}

/// Whose boot stack it is.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) name: KernelName,
    pub(crate) distro: String,
    pub(crate) arch: String,
    pub(crate) source: String,
}

/// Fills the directory with a boot stack, down to the manifest, and gives it back.
pub(crate) async fn make_stack(
    staged: StagedDirectory,
    parts: Parts,
    origin: Origin,
    agent: &AgentProgram,
    progress: &Progress,
) -> Result<StagedDirectory, StackError> {
    let Parts { image, modules, built_at, config } = parts;
    if modules.is_some() {
        require(&["depmod"]).map_err(StackError::Tool)?;
    }
    let (agent, agent_sha256) = agent.read().map_err(StackError::Agent)?;
    progress.stage("read kernel", "");
    let release = modules.as_ref().map(|tree| tree.release.clone());
    let (staged, kernel) = run_blocking(move |cancelled| {
        let kernel = take_kernel(staged.path(), &image, release.as_deref(), cancelled)?;
        Ok((staged, kernel))
    })
    .await?;
    let (staged, lacking) = run_blocking(move |_| {
        let lacking = check_config(staged.path(), config)?;
        Ok((staged, lacking))
    })
    .await?;
    lacking.told(&kernel.release, progress)?;
    if let Some(tree) = &modules {
        progress.stage("index modules", kernel.release.clone());
        Tool::new("depmod")
            .arg("-b")
            .arg(&tree.base)
            .arg(&tree.release)
            .run()
            .await
            .map_err(|source| StackError::Depmod { release: tree.release.clone(), source })?;
    }
    let manifest = origin.manifest(kernel, agent_sha256);
    let progress = progress.clone();
    run_blocking(move |cancelled| {
        progress.stage("build initramfs", manifest.version.clone());
        let tree = modules.as_ref().map(ModuleTree::path);
        let part = match &tree {
            Some(tree) => modules_part(tree).map_err(StackError::Initramfs)?,
            None => no_modules_part(),
        };
        write(staged.path(), MODULES_PART, &part, cancelled)?;
        write(staged.path(), INITRAMFS, &initramfs(&agent, &part), cancelled)?;
        if let Some(tree) = tree {
            progress.stage("write modules drive", manifest.version.clone());
            write_modules_drive(&tree, &staged.path().join(MODULES_DRIVE), built_at, cancelled)
                .map_err(StackError::ModulesDrive)?;
        }
        finish(staged, manifest, &progress, cancelled)
    })
    .await
}

impl Origin {
    /// Returns the manifest; what files there are is added last.
    pub(crate) fn manifest(self, kernel: ElfKernel, agent_sha256: String) -> KernelManifest {
        KernelManifest {
            format_version: KernelManifest::FORMAT_VERSION,
            name: self.name,
            distro: self.distro,
            arch: self.arch,
            version: kernel.release,
            has_pvh_entry: kernel.has_pvh_entry,
            files: BTreeMap::new(),
            source: self.source,
            created_at: jiff::Timestamp::now().to_string(),
            agent_sha256,
        }
    }
}

/// Removes what is not published, and writes the manifest of what is there.
pub(crate) fn finish(
    staged: StagedDirectory,
    mut manifest: KernelManifest,
    progress: &Progress,
    cancelled: &Cancelled,
) -> Result<StagedDirectory, StackError> {
    progress.stage("write manifest", "");
    let home = staged.path();
    let work = home.join(WORK);
    banger_sys::files::remove_any(&work).map_err(|source| StackError::Write { path: work, source })?;
    let names = [VMLINUZ, VMLINUX, INITRAMFS, MODULES_PART, MODULES_DRIVE];
    let present: Vec<_> = names.into_iter().filter(|name| home.join(name).exists()).collect();
    manifest.files =
        record_files(home, &present).map_err(|(path, source)| StackError::Read { path, source })?;
    let text = manifest_bytes(&manifest).map_err(StackError::Manifest)?;
    write(home, MANIFEST_FILE, &text, cancelled)?;
    progress.stage("publish kernel", manifest.name.to_string());
    Ok(staged)
}

/// Puts `vmlinux`, and `vmlinuz` where there is one, into `home`, and refuses a kernel that no guest could boot.
fn take_kernel(
    home: &Path,
    image: &KernelImage,
    modules_release: Option<&str>,
    cancelled: &Cancelled,
) -> Result<ElfKernel, StackError> {
    let (compressed, elf) = match image {
        KernelImage::Compressed(compressed) => (Some(compressed), None),
        KernelImage::Elf(elf) => (None, Some(elf)),
        KernelImage::Both { compressed, elf } => (Some(compressed), Some(elf)),
    };
    let mut header_release = None;
    if let Some(path) = compressed {
        let read = |source| StackError::Read { path: path.clone(), source };
        let unusable = |source| StackError::ExtractVmlinux { path: path.clone(), source };
        let content = read_file(path, KERNEL_BYTES_MAX).map_err(read)?;
        header_release = Some(bzimage::release(&content).map_err(unusable)?);
        if elf.is_none() {
            write(home, VMLINUX, &extract_vmlinux(&content).map_err(unusable)?, cancelled)?;
        }
        write(home, VMLINUZ, &content, cancelled)?;
    }
    if let Some(path) = elf {
        copy(path, &home.join(VMLINUX), cancelled)?;
    }
    let path = home.join(VMLINUX);
    let origin = elf.or(compressed).unwrap_or(&path).clone();
    let kernel = ElfKernel::inspect(&path).map_err(|source| StackError::Kernel { path: origin, source })?;
    check_release("vmlinuz", header_release.as_deref(), &kernel)?;
    check_release("module tree", modules_release, &kernel)?;
    if modules_release.is_none() {
        let missing = first_missing(&path, &DRIVERS).map_err(|source| StackError::Read { path, source })?;
        if let Some(driver) = missing {
            return Err(StackError::NotBuiltIn { release: kernel.release, driver });
        }
    }
    if !kernel.has_pvh_entry && compressed.is_none() {
        return Err(StackError::NoEntry { release: kernel.release });
    }
    Ok(kernel)
}

/// Looks at the configuration, the one beside the kernel or the one in it.
fn check_config(home: &Path, config: Option<String>) -> Result<Lacking, StackError> {
    let path = home.join(VMLINUX);
    let config = if config.is_some() {
        config
    } else {
        let kernel = read_file(&path, PART_BYTES_MAX);
        config::in_kernel(&kernel.map_err(|source| StackError::Read { path, source })?)
    };
    Ok(config.map(|text| KernelConfig::parse(&text).lacking()).unwrap_or_default())
}

impl Lacking {
    /// Refuses a kernel that lacks what every guest needs, and tells the rest.
    fn told(self, release: &str, progress: &Progress) -> Result<(), StackError> {
        if !self.fatal.is_empty() {
            return Err(StackError::Options { release: release.to_owned(), options: self.fatal });
        }
        if !self.tolerable.is_empty() {
            progress.stage("check configuration", format!("it lacks {}", self.tolerable.join(", ")));
        }
        Ok(())
    }
}

fn check_release(what: &'static str, release: Option<&str>, kernel: &ElfKernel) -> Result<(), StackError> {
    match release {
        Some(release) if release != kernel.release => Err(StackError::OtherRelease {
            one: what,
            one_release: release.to_owned(),
            other: "kernel",
            other_release: kernel.release.clone(),
        }),
        Some(_) | None => Ok(()),
    }
}

/// Copies a file whole; where the file system can, without copying its bytes.
pub(crate) fn copy(from: &Path, to: &Path, cancelled: &Cancelled) -> Result<(), StackError> {
    let read = |source| StackError::Read { path: from.to_owned(), source };
    let mut content = File::open(from).map_err(read)?;
    if content.metadata().map_err(read)?.len() > PART_BYTES_MAX {
        return Err(StackError::TooLarge { path: from.to_owned() });
    }
    cancelled
        .check()
        .and_then(|()| File::create_new(to))
        .and_then(|mut file| io::copy(&mut content, &mut file))
        .map(drop)
        .map_err(|source| StackError::Write { path: to.to_owned(), source })
}

fn write(home: &Path, name: &str, content: &[u8], cancelled: &Cancelled) -> Result<(), StackError> {
    let path = home.join(name);
    cancelled
        .check()
        .and_then(|()| fs::write(&path, content))
        .map_err(|source| StackError::Write { path, source })
}
