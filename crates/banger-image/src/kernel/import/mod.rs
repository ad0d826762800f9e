//! Makes a local kernel out of what the user has: a Debian package, a bundle, a directory, or the root file system of a
//! distribution. Everything that can be refused by looking is refused by [`KernelImport::inspect`], before anything is
//! made. The initramfs is always ours, because the agent is in it.

mod bundle;
mod error;
mod own;
mod part_names;
mod parts;
mod root;

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use banger_model::{Distro, KernelName, Sha256};
use banger_sys::blocking::run_blocking;
use banger_sys::files::{StagedDirectory, open_regular};

pub use bundle::KernelBundleError;
pub use error::ImportError;

pub(crate) use self::bundle::unpack_bundle;
use self::own::take_own;
use self::parts::{Found, PlainParts, config_beside, find_parts, plain_parts};
use self::root::{RootKernel, find_kernel};
use crate::artifact::digest::FileRecord;
use crate::kernel::deb::{Control, read_control};
use crate::kernel::module_tree::ModuleTree;
use crate::kernel::package::unpack_package;
use crate::kernel::refresh::AgentProgram;
use crate::kernel::stack::{KernelImage, Origin, Parts, WORK, make_stack};
use crate::progress::Progress;

const DEB_MAGIC: &[u8] = b"!<arch>\n";
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// What the distribution of a kernel is called that nobody packaged.
const NO_DISTRO: &str = "custom";

/// What somebody wants to import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportRequest {
    /// File or directory, absolute.
    pub from: PathBuf,
    /// Name it shall have; otherwise one is made of what it is.
    pub name: Option<KernelName>,
    /// `from` is the root of a file system with this distribution's layout.
    pub distro: Option<Distro>,
    /// Which kernel of such a root, where there are several.
    pub release: Option<String>,
    /// What a file's content must be.
    pub sha256: Option<Sha256>,
}

/// Something that was looked at and can be imported.
#[derive(Clone, Debug)]
pub struct KernelImport {
    name: KernelName,
    sha256: Option<Sha256>,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Package { path: PathBuf, control: Control },
    Bundle { path: PathBuf },
    Directory { path: PathBuf },
    Files { kernel: PathBuf, parts: PlainParts },
    Root { path: PathBuf, distro: Distro, kernel: RootKernel },
}

impl KernelImport {
    /// Looks what it is. Blocks while it reads the beginnings of files.
    ///
    /// # Errors
    /// [`ImportError`].
    pub fn inspect(request: ImportRequest) -> Result<Self, ImportError> {
        let ImportRequest { from, name, distro, release, sha256 } = request;
        if !from.is_absolute() {
            return Err(ImportError::Relative { path: from });
        }
        let form = Form::of(from, distro, release.as_deref(), sha256.is_some())?;
        let name = match name {
            Some(name) => name,
            None => form.default_name()?,
        };
        Ok(Self { name, sha256, form })
    }

    /// Looks at a kernel's files, each of which has its path. An initramfs is only looked for: banger makes its own.
    ///
    /// # Errors
    /// [`ImportError`].
    pub fn of_files(
        name: KernelName,
        kernel: PathBuf,
        initramfs: Option<PathBuf>,
        modules: Option<PathBuf>,
    ) -> Result<Self, ImportError> {
        let given = [Some(&kernel), initramfs.as_ref(), modules.as_ref()];
        if let Some(path) = given.into_iter().flatten().find(|path| !path.is_absolute()) {
            return Err(ImportError::Relative { path: path.clone() });
        }
        let parts = plain_parts(kernel.clone(), initramfs, modules)?;
        Ok(Self { name, sha256: None, form: Form::Files { kernel, parts } })
    }

    /// The name that it will have.
    #[must_use]
    pub fn name(&self) -> &KernelName {
        &self.name
    }

    /// Fills the directory with the boot stack, down to the manifest, and gives it back.
    pub(crate) async fn build(
        self,
        staged: StagedDirectory,
        agent: &AgentProgram,
        progress: &Progress,
    ) -> Result<StagedDirectory, ImportError> {
        let Self { name, sha256, form } = self;
        match form {
            Form::Package { path, control } => {
                check_sha256(path.clone(), sha256, progress).await?;
                let unpacked = unpack_package(staged, path, progress).await;
                let (staged, parts) = unpacked.map_err(ImportError::Package)?;
                let source = format!("package {} {}", control.package, control.version);
                let origin =
                    Origin { name, distro: Distro::Debian.to_string(), arch: control.architecture, source };
                make_stack(staged, parts, origin, agent, progress).await.map_err(ImportError::Stack)
            }
            Form::Bundle { path } => {
                let text = path.display().to_string();
                progress.stage("unpack bundle", text.clone());
                let (staged, found, directory) = run_blocking(move |cancelled| {
                    let work = staged.path().join(WORK);
                    let target = work.join("bundle");
                    fs::create_dir(&work).map_err(|source| ImportError::Write { path: work, source })?;
                    unpack_bundle(&path, sha256.as_ref(), &target, cancelled)
                        .map_err(|source| ImportError::Bundle { path, source })?;
                    Ok((staged, find_parts(&target)?, target))
                })
                .await?;
                build_found(staged, found, directory, (name, text), agent, progress).await
            }
            Form::Directory { path } => {
                let found = find_parts(&path)?;
                let text = path.display().to_string();
                build_found(staged, found, path, (name, text), agent, progress).await
            }
            Form::Files { kernel, parts } => {
                let text = kernel.display().to_string();
                build_found(staged, Found::Plain(parts), PathBuf::new(), (name, text), agent, progress).await
            }
            Form::Root { path, distro, kernel } => {
                let RootKernel { vmlinuz, release, modules, built_at } = kernel;
                let config = config_beside(&vmlinuz, &release);
                let origin = Origin {
                    name,
                    distro: distro.to_string(),
                    arch: distro.arch().to_owned(),
                    source: path.display().to_string(),
                };
                let image = KernelImage::Compressed(vmlinuz);
                let (staged, modules) = copy_modules(staged, Some(modules), release, progress).await?;
                let parts = Parts { image, modules, built_at, config };
                make_stack(staged, parts, origin, agent, progress).await.map_err(ImportError::Stack)
            }
        }
    }
}

impl Form {
    fn of(
        path: PathBuf,
        distro: Option<Distro>,
        release: Option<&str>,
        has_sha256: bool,
    ) -> Result<Self, ImportError> {
        let read = |source| ImportError::Read { path: path.clone(), source };
        let is_directory = fs::metadata(&path).map_err(read)?.is_dir();
        if is_directory && has_sha256 {
            return Err(ImportError::Sha256OfDirectory { path });
        }
        if distro.is_none() && release.is_some() {
            return Err(ImportError::ReleaseWithoutDistro);
        }
        match (is_directory, distro) {
            (true, Some(distro)) => {
                let kernel = find_kernel(&path, distro, release)?;
                Ok(Self::Root { path, distro, kernel })
            }
            (true, None) => find_parts(&path).map(|_| Self::Directory { path }),
            (false, Some(_)) => Err(ImportError::DistroOfFile { path }),
            (false, None) => Self::of_file(path),
        }
    }

    fn of_file(path: PathBuf) -> Result<Self, ImportError> {
        let mut magic = Vec::new();
        let read = open_regular(&path).and_then(|file| file.take(8).read_to_end(&mut magic));
        read.map_err(|source| ImportError::Read { path: path.clone(), source })?;
        if magic.starts_with(ZSTD_MAGIC) {
            return Ok(Self::Bundle { path });
        }
        if magic != DEB_MAGIC {
            return Err(ImportError::UnknownForm { path });
        }
        let control = read_control(&path).map_err(ImportError::Deb)?;
        if control.architecture != Distro::Debian.arch() {
            return Err(ImportError::OtherArchitecture { path, architecture: control.architecture });
        }
        Ok(Self::Package { path, control })
    }

    /// Returns the name of what brings none: distribution and release, or that of the file.
    fn default_name(&self) -> Result<KernelName, ImportError> {
        let text = match self {
            Self::Package { control, .. } => {
                let release = control.package.strip_prefix("linux-image-").unwrap_or(&control.package);
                format!("{}-{}", Distro::Debian, release.strip_suffix("-unsigned").unwrap_or(release))
            }
            Self::Root { distro, kernel, .. } => format!("{distro}-{}", kernel.release),
            Self::Bundle { path } => {
                let file = file_name(path);
                let endings = [".tar.zst", ".tzst", ".tar"];
                endings.iter().find_map(|ending| file.strip_suffix(ending)).unwrap_or(&file).to_owned()
            }
            Self::Directory { path } | Self::Files { kernel: path, .. } => file_name(path),
        };
        as_name(&text).parse().map_err(|source| ImportError::NoName { source })
    }
}

/// Returns the text in lower case, with `-` for what a name cannot have: `6.12.57+deb13` is a release.
fn as_name(text: &str) -> String {
    let is_plain = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
    let fit =
        |character: char| if is_plain(character) || "._-".contains(character) { character } else { '-' };
    text.to_lowercase().chars().map(fit).collect()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

async fn build_found(
    staged: StagedDirectory,
    found: Found,
    directory: PathBuf,
    (name, source): (KernelName, String),
    agent: &AgentProgram,
    progress: &Progress,
) -> Result<StagedDirectory, ImportError> {
    match found {
        Found::Own(manifest) => take_own(staged, directory, *manifest, name, agent, progress).await,
        Found::Plain(PlainParts { image, release, modules, initramfs, built_at, config }) => {
            if let Some(path) = initramfs {
                progress.stage("leave out initramfs", format!("{}: banger makes its own", file_name(&path)));
            }
            let arch = Distro::Debian.arch().to_owned();
            let origin = Origin { name, distro: NO_DISTRO.to_owned(), arch, source };
            let (staged, modules) = copy_modules(staged, modules, release, progress).await?;
            let parts = Parts { image, modules, built_at, config };
            make_stack(staged, parts, origin, agent, progress).await.map_err(ImportError::Stack)
        }
    }
}

async fn copy_modules(
    staged: StagedDirectory,
    modules: Option<PathBuf>,
    release: String,
    progress: &Progress,
) -> Result<(StagedDirectory, Option<ModuleTree>), ImportError> {
    let Some(modules) = modules else { return Ok((staged, None)) };
    progress.stage("copy modules", release.clone());
    run_blocking(move |cancelled| {
        let base = staged.path().join(WORK).join("tree");
        let tree = ModuleTree::copy(&modules, base, &release, cancelled).map_err(ImportError::ModuleTree)?;
        Ok((staged, Some(tree)))
    })
    .await
}

async fn check_sha256(
    path: PathBuf,
    expected: Option<Sha256>,
    progress: &Progress,
) -> Result<(), ImportError> {
    let Some(expected) = expected else { return Ok(()) };
    progress.stage("check sha256", file_name(&path));
    run_blocking(move |cancelled| {
        let file = open_regular(&path).and_then(|file| FileRecord::of_content(cancelled.reader(file)));
        let found = file.map_err(|source| ImportError::Read { path: path.clone(), source })?.sha256;
        if found == expected.as_str() {
            return Ok(());
        }
        Err(ImportError::OtherSha256 { path, expected, found })
    })
    .await
}

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
