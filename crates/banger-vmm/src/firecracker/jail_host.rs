//! What the host has for a jail: the jailer, the rights to use it, and a place where it can make one.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use banger_model::VmId;
use banger_sys::tuning::HostTuning;
use rustix::fs::StatVfsMountFlags;
use rustix::thread::CapabilitySet;

use super::cell::{Access, Bind};
use super::names::{JAILER_NAME, PROGRAM_NAME};
use crate::contract::MachineHandle;

/// Group of the VMs' cgroups, below the root of the hierarchy.
pub(super) const CGROUP: &str = "banger";

/// A jailer that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Jailer {
    /// The jailer's file.
    pub(super) program: PathBuf,
    /// Firecracker's file, without links: the jailer names the jail by it.
    pub(super) firecracker: PathBuf,
    /// What cgroups of version 2 can limit here.
    pub(super) controllers: Vec<String>,
    /// The machine's cgroup, on a host that has them.
    pub(super) cgroup: Option<PathBuf>,
}

impl Jailer {
    /// Looks for the jailer of a Firecracker, for a machine with this state directory that is to see these files.
    ///
    /// # Errors
    /// Why it cannot be used, in words.
    pub(super) fn look(
        facts: &JailFacts,
        program: &Path,
        vm: &VmId,
        state: &Path,
        binds: &[Bind],
    ) -> Result<Self, String> {
        let jailer = facts.judge()?;
        check_place(state)?;
        check_shared(binds)?;
        Ok(Self {
            program: jailer.to_owned(),
            firecracker: program.canonicalize().unwrap_or_else(|_error| program.to_owned()),
            controllers: controllers(),
            cgroup: cgroup(vm),
        })
    }
}

/// Returns where the jailer of a Firecracker is: beside it, as in the archive of their release, where both names end in the
/// same version.
#[must_use]
pub fn jailer_of(firecracker: &Path) -> Option<PathBuf> {
    let program = firecracker.canonicalize().ok()?;
    let version = program.file_name()?.to_str()?.strip_prefix(PROGRAM_NAME)?;
    let jailer = program.with_file_name(format!("{JAILER_NAME}{version}"));
    jailer.is_file().then_some(jailer)
}

/// What the choice is made by.
#[derive(Clone, Debug)]
pub struct JailFacts {
    /// Where the jailer is.
    pub jailer: Option<PathBuf>,
    /// Whether this process is root, with the rights that root has outside of containers.
    pub is_root: bool,
}

/// What the jailer, and whoever prepares for it, does: namespaces and mounts, devices, owners, another user.
const RIGHTS: CapabilitySet = CapabilitySet::SYS_ADMIN
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::CHOWN)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::NET_ADMIN);

impl JailFacts {
    /// Looks for the jailer of a Firecracker.
    #[must_use]
    pub fn look(firecracker: &Path) -> Self {
        let has_rights = rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(RIGHTS));
        let is_root = rustix::process::geteuid().is_root() && has_rights;
        Self { jailer: jailer_of(firecracker), is_root }
    }

    /// Tells which jailer is to be used, or why there is none.
    ///
    /// # Errors
    /// The reason, in words.
    pub fn judge(&self) -> Result<&Path, String> {
        if !self.is_root {
            return Err("only root with all capabilities can use it".to_owned());
        }
        self.jailer.as_deref().ok_or_else(|| format!("there is no `{JAILER_NAME}` beside Firecracker"))
    }
}

/// What is removed with a jailed machine.
pub(super) fn leftovers(handle: &MachineHandle) -> Vec<PathBuf> {
    let Some(jail) = &handle.jail else { return Vec::new() };
    cgroup(&handle.vm).into_iter().chain([jail.clone()]).collect()
}

/// Where the cgroup of a jail is, on a host that has them.
fn cgroup(vm: &VmId) -> Option<PathBuf> {
    HostTuning::look().unified_cgroup().map(|mount| mount.join(CGROUP).join(vm.as_str()))
}

/// What cgroups of version 2 this host can limit by.
fn controllers() -> Vec<String> {
    let mount = HostTuning::look().unified_cgroup().map(Path::to_owned);
    let text = mount.and_then(|mount| fs::read_to_string(mount.join("cgroup.controllers")).ok());
    text.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

/// The jailer makes `/dev/kvm` below the state directory.
fn check_place(state: &Path) -> Result<(), String> {
    let told = |why: String| format!("`{}`: {why}", state.display());
    let flags = rustix::fs::statvfs(state).map_err(|errno| told(errno.to_string()))?.f_flag;
    judge_mount(flags).map_err(|why| told(why.to_owned()))
}

fn judge_mount(flags: StatVfsMountFlags) -> Result<(), &'static str> {
    if flags.contains(StatVfsMountFlags::NODEV) {
        return Err("its file system is mounted without devices (nodev)");
    }
    if flags.contains(StatVfsMountFlags::NOEXEC) {
        return Err("its file system is mounted without programs (noexec)");
    }
    Ok(())
}

/// A file that is somebody else's is not made readable behind their back.
fn check_shared(binds: &[Bind]) -> Result<(), String> {
    for Bind { from, .. } in binds.iter().filter(|bind| bind.access == Access::Read) {
        let metadata = fs::metadata(from).map_err(|error| format!("`{}`: {error}", from.display()))?;
        if metadata.uid() != 0 && metadata.mode() & 0o004 == 0 {
            return Err(format!("`{}` must be owned by root or readable by everybody", from.display()));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "jail_host_tests.rs"]
mod tests;
