//! Firecracker's own jailer, which needs root: a user of the VM's own, a chroot with its files, limits by cgroup. What the
//! jailer does not do, the cell does: namespaces of processes, network, IPC and host name.
//!
//! ```text
//! <state of the VM>/jail/firecracker/<id>/root     what Firecracker sees as `/`
//! <cgroup2>/banger/<id>                            what it may use
//! ```
//! Files of the machine are hard links, or bound where they lie on another file system; nothing is copied but Firecracker
//! itself. Source: Firecracker's `docs/jailer.md` and `docs/prod-host-setup.md`.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use banger_model::VmId;
use banger_sys::tuning::HostTuning;
use rustix::fs::StatVfsMountFlags;
use rustix::thread::CapabilitySet;
use tracing::warn;

use super::cell::{Access, Bind, JailPlan};
use super::names::{JAILER_NAME, PROGRAM_NAME};
use crate::contract::{MachineHandle, MachinePlan, StartError};

/// The users of jails: a number for each VM, by its id. They have no name, and no file but those of their VM.
/// Far from people, services, and the ranges that distributions give to containers of users.
const FIRST_USER: u32 = 0x7000_0000;
const USERS: u32 = 0x1_0000;

/// The group of all jails: it may read what VMs share.
const GROUP: u32 = FIRST_USER - 1;

/// Group of the VMs' cgroups, below the root of the hierarchy.
const CGROUP: &str = "banger";

/// What Firecracker needs beside its guest's memory, with room: itself, the kernel's tables, what it is about to write.
const MEMORY_BESIDE_GUEST_MIB: u64 = 96;

/// Threads beside those of the processors: its own, and the kernel's for `io_uring`.
const THREADS_BESIDE_VCPUS: u64 = 64;

const CPU_PERIOD_MICROS: u64 = 100_000;

/// As many descriptors as a cell allows.
const DESCRIPTORS_MAX: u64 = 4096;

/// Whether the jailer is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JailWish {
    /// Where it can be.
    #[default]
    Auto,
    /// Nowhere: the cell alone keeps Firecracker apart.
    Never,
    /// Everywhere: where it cannot be, nothing starts.
    Always,
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

/// A jail that is about to be made.
pub(super) struct Jail {
    pub(super) plan: JailPlan,
    /// What is removed with the machine.
    pub(super) directory: PathBuf,
}

/// Decides whether a machine with this state directory gets a jail.
pub(super) fn choose(
    wish: JailWish,
    facts: &JailFacts,
    state: &Path,
    binds: &[Bind],
) -> Result<Option<PathBuf>, StartError> {
    let judged = match wish {
        JailWish::Never => return Ok(None),
        JailWish::Auto | JailWish::Always => facts.judge().map(Path::to_owned).and_then(|jailer| {
            check_place(state)?;
            check_shared(binds)?;
            Ok(jailer)
        }),
    };
    match (wish, judged) {
        (_, Ok(jailer)) => Ok(Some(jailer)),
        (JailWish::Always, Err(why)) => {
            Err(StartError::BadPlan { reason: format!("the jailer is required for Firecracker, but {why}") })
        }
        (JailWish::Auto | JailWish::Never, Err(why)) => {
            if facts.is_root && facts.jailer.is_some() {
                warn!(why, "Firecracker is not jailed: its cell alone keeps it apart");
            }
            Ok(None)
        }
    }
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

/// Plans a jail below the VM's state directory. An older one is removed.
pub(super) fn prepare(
    jailer: PathBuf,
    firecracker: &Path,
    plan: &MachinePlan,
    firecracker_arguments: &[String],
) -> io::Result<Jail> {
    let directory = directory(&plan.state_directory);
    banger_sys::files::remove_any(&directory)?;
    let program = firecracker.canonicalize()?;
    let name = program.file_name().unwrap_or_default();
    let root = directory.join(name).join(plan.vm.as_str()).join("root");
    fs::create_dir_all(&root)?;
    let user = user_of(&plan.vm);
    let mut arguments: Vec<String> = [
        ("--id", plan.vm.as_str().to_owned()),
        ("--exec-file", program.display().to_string()),
        ("--uid", user.to_string()),
        ("--gid", GROUP.to_string()),
        ("--chroot-base-dir", directory.display().to_string()),
        ("--resource-limit", format!("no-file={DESCRIPTORS_MAX}")),
    ]
    .into_iter()
    .flat_map(|(name, value)| [name.to_owned(), value])
    .collect();
    arguments.extend(cgroup_arguments(&limits(plan, &controllers())));
    arguments.push("--".to_owned());
    arguments.extend_from_slice(firecracker_arguments);
    let plan = JailPlan { program: jailer, arguments, root, user, group: GROUP };
    Ok(Jail { plan, directory })
}

/// Where the jail of a VM is.
pub(super) fn directory(state: &Path) -> PathBuf {
    state.join("jail")
}

/// What is removed with a jailed machine.
pub(super) fn leftovers(handle: &MachineHandle) -> Vec<PathBuf> {
    let Some(jail) = &handle.jail else { return Vec::new() };
    cgroup(&handle.vm).into_iter().chain([jail.clone()]).collect()
}

/// Where the cgroup of a jail is, on a host that has them.
pub(super) fn cgroup(vm: &VmId) -> Option<PathBuf> {
    HostTuning::look().unified_cgroup().map(|mount| mount.join(CGROUP).join(vm.as_str()))
}

/// Tells whether files of this user were a jail's.
pub(super) fn is_a_jails_user(user: u32) -> bool {
    (FIRST_USER..FIRST_USER + USERS).contains(&user)
}

/// Returns the user of a VM's jail. Two VMs have the same once in 65,536 pairs, which costs no more than one of several walls:
/// neither sees the other's files or processes.
fn user_of(vm: &VmId) -> u32 {
    let hash = vm
        .as_str()
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    FIRST_USER + hash % USERS
}

/// What cgroups of version 2 this host can limit by.
fn controllers() -> Vec<String> {
    let mount = HostTuning::look().unified_cgroup().map(Path::to_owned);
    let text = mount.and_then(|mount| fs::read_to_string(mount.join("cgroup.controllers")).ok());
    text.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

/// What the machine may use at most, as far as the host can limit it.
fn limits(plan: &MachinePlan, controllers: &[String]) -> Vec<(&'static str, String)> {
    let memory = plan.memory.get();
    // Tables of pages grow with the guest.
    let memory_mib = memory + memory / 64 + MEMORY_BESIDE_GUEST_MIB;
    let vcpus = u64::from(plan.vcpus.get());
    let all = [
        ("memory", "memory.max", (memory_mib << 20).to_string()),
        // One processor more than the guest has, for drives and network.
        ("cpu", "cpu.max", format!("{} {CPU_PERIOD_MICROS}", (vcpus + 1) * CPU_PERIOD_MICROS)),
        ("pids", "pids.max", (vcpus + THREADS_BESIDE_VCPUS).to_string()),
    ];
    let has = |wanted: &str| controllers.iter().any(|controller| controller == wanted);
    all.into_iter().filter(|(controller, ..)| has(controller)).map(|(_, file, value)| (file, value)).collect()
}

fn cgroup_arguments(limits: &[(&'static str, String)]) -> Vec<String> {
    if limits.is_empty() {
        return Vec::new();
    }
    let head = ["--cgroup-version", "2", "--parent-cgroup", CGROUP].map(str::to_owned);
    let each = limits.iter().flat_map(|(file, value)| ["--cgroup".to_owned(), format!("{file}={value}")]);
    head.into_iter().chain(each).collect()
}

#[cfg(test)]
#[path = "jail_tests.rs"]
mod tests;
