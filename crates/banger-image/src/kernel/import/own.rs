//! Takes over a kernel of banger's, as another host or an older state directory has it: its files are checked against its
//! manifest; the initramfs is made anew, with this banger's agent.

use std::path::{Path, PathBuf};

use banger_model::KernelName;
use banger_sys::blocking::{Cancelled, run_blocking};
use banger_sys::files::StagedDirectory;

use super::ImportError;
use super::parts::plain_file;
use crate::artifact::digest::FileRecord;
use crate::kernel::elf::ElfKernel;
use crate::kernel::initramfs::initramfs;
use crate::kernel::manifest::{INITRAMFS, KernelManifest, MODULES_DRIVE, MODULES_PART, VMLINUX, VMLINUZ};
use crate::kernel::refresh::AgentProgram;
use crate::kernel::stack::{Origin, StackError, copy, finish};
use crate::progress::Progress;

/// Fills the directory with the kernel, down to the manifest, and gives it back.
pub(super) async fn take_own(
    staged: StagedDirectory,
    directory: PathBuf,
    manifest: KernelManifest,
    name: KernelName,
    agent: &AgentProgram,
    progress: &Progress,
) -> Result<StagedDirectory, ImportError> {
    let (agent, agent_sha256) =
        agent.read().map_err(|source| ImportError::Stack(StackError::Agent(source)))?;
    check_names(&manifest)?;
    progress.stage("copy kernel", manifest.version.clone());
    let progress = progress.clone();
    run_blocking(move |cancelled| {
        let home = staged.path();
        for file in [VMLINUZ, VMLINUX, MODULES_PART, MODULES_DRIVE] {
            if let Some(record) = manifest.files.get(file) {
                take_file(&directory, file, record, home, cancelled)?;
            }
        }
        let kernel = inspect(home, &manifest)?;
        let part = home.join(MODULES_PART);
        let read = |source| ImportError::Read { path: part.clone(), source };
        let archive = initramfs(&agent, &std::fs::read(&part).map_err(read)?);
        let path = home.join(INITRAMFS);
        std::fs::write(&path, archive).map_err(|source| ImportError::Write { path, source })?;
        let origin = Origin { name, distro: manifest.distro, arch: manifest.arch, source: manifest.source };
        let manifest = origin.manifest(kernel, agent_sha256);
        finish(staged, manifest, &progress, cancelled).map_err(ImportError::Stack)
    })
    .await
}

fn check_names(manifest: &KernelManifest) -> Result<(), ImportError> {
    let known = [VMLINUZ, VMLINUX, INITRAMFS, MODULES_PART, MODULES_DRIVE];
    if let Some(file) = manifest.files.keys().find(|file| !known.contains(&file.as_str())) {
        return Err(ImportError::UnknownFile { file: file.clone() });
    }
    match [VMLINUX, MODULES_PART].into_iter().find(|file| !manifest.files.contains_key(*file)) {
        Some(file) => Err(ImportError::FileNotRecorded { file }),
        None => Ok(()),
    }
}

fn take_file(
    directory: &Path,
    file: &str,
    record: &FileRecord,
    home: &Path,
    cancelled: &Cancelled,
) -> Result<(), ImportError> {
    let damaged = || ImportError::Damaged { path: directory.join(file) };
    let from = plain_file(directory, file)?.ok_or_else(damaged)?;
    let to = home.join(file);
    copy(&from, &to, cancelled).map_err(ImportError::Stack)?;
    let found = FileRecord::of_file(&to).map_err(|source| ImportError::Read { path: to, source })?;
    if found == *record { Ok(()) } else { Err(damaged()) }
}

/// Looks at the kernel itself: what the manifest says of it may be wrong.
fn inspect(home: &Path, manifest: &KernelManifest) -> Result<ElfKernel, ImportError> {
    let path = home.join(VMLINUX);
    let kernel = ElfKernel::inspect(&path).map_err(|source| ImportError::Vmlinux { path, source })?;
    if kernel.release != manifest.version {
        return Err(ImportError::Stack(StackError::OtherRelease {
            one: "manifest",
            one_release: manifest.version.clone(),
            other: "kernel",
            other_release: kernel.release,
        }));
    }
    if !kernel.has_pvh_entry && !manifest.files.contains_key(VMLINUZ) {
        return Err(ImportError::Stack(StackError::NoEntry { release: kernel.release }));
    }
    Ok(kernel)
}
