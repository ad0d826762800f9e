//! Firecracker's own jailer, which needs root: a user of the VM's own, a chroot with its files, limits by cgroup. What the
//! jailer does not do, the cell does: namespaces of processes, network, IPC and host name.
//!
//! ```text
//! <state of the VM>/jail/firecracker/<id>/root     what Firecracker sees as `/`
//! <cgroup2>/banger/<id>                            what it may use
//! ```
//! Files of the machine are hard links, or bound where they lie on another file system; nothing is copied but Firecracker
//! itself. Source: Firecracker's `docs/jailer.md` and `docs/prod-host-setup.md`.

use std::io;
use std::path::{Path, PathBuf};

use banger_model::VmId;

use super::cell::JailPlan;
use super::jail_host::{CGROUP, Jailer};
use crate::contract::{MachinePlan, MemorySource, RestorePlan, StartError};

/// The users of jails: a number for each VM, by its id. They have no name, and no file but those of their VM.
/// Far from people, services, and the ranges that distributions give to containers of users.
const FIRST_USER: u32 = 0x7000_0000;
const USERS: u32 = 0x1_0000;

/// The group of all jails: it may read what VMs share.
const GROUP: u32 = FIRST_USER - 1;

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

/// Returns the wish that counts for a machine.
pub(super) fn jail_wish(wish: JailWish, from: Option<&RestorePlan>) -> JailWish {
    // The jailer closes the socket by which a pager sees the machine's end.
    let has_pager = from.is_some_and(|from| from.memory == MemorySource::Pager);
    if has_pager { JailWish::Never } else { wish }
}

/// Decides which jailer a machine gets. `found` is the host's, or why there can be none.
pub(super) fn decide<'host>(
    wish: JailWish,
    found: Result<&'host Jailer, &String>,
) -> Result<Option<&'host Jailer>, StartError> {
    match (wish, found) {
        (JailWish::Never, _) | (JailWish::Auto, Err(_)) => Ok(None),
        (JailWish::Auto | JailWish::Always, Ok(jailer)) => Ok(Some(jailer)),
        (JailWish::Always, Err(why)) => {
            Err(StartError::BadPlan { reason: format!("the jailer is required for Firecracker, but {why}") })
        }
    }
}

/// A jail that is about to be made.
#[derive(Clone, Debug)]
pub(super) struct Jail {
    pub(super) plan: JailPlan,
    /// What is removed with the machine.
    pub(super) directory: PathBuf,
    /// The cgroup that the jailer makes, on a host that has them.
    pub(super) cgroup: Option<PathBuf>,
}

impl Jail {
    /// Plans a jail below the VM's state directory. The first two arguments of Firecracker name the VM, which the jailer tells
    /// it.
    pub(super) fn design(jailer: &Jailer, plan: &MachinePlan, firecracker_arguments: &[String]) -> Self {
        let directory = directory(&plan.state_directory);
        let name = jailer.firecracker.file_name().unwrap_or_default();
        let root = directory.join(name).join(plan.vm.as_str()).join("root");
        let user = user_of(&plan.vm);
        let mut arguments: Vec<String> = [
            ("--id", plan.vm.as_str().to_owned()),
            ("--exec-file", jailer.firecracker.display().to_string()),
            ("--uid", user.to_string()),
            ("--gid", GROUP.to_string()),
            ("--chroot-base-dir", directory.display().to_string()),
            ("--resource-limit", format!("no-file={DESCRIPTORS_MAX}")),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect();
        arguments.extend(cgroup_arguments(&limits(plan, &jailer.controllers)));
        arguments.push("--".to_owned());
        arguments.extend(firecracker_arguments.iter().skip(2).cloned());
        let plan = JailPlan { program: jailer.program.clone(), arguments, root, user, group: GROUP };
        Self { plan, directory, cgroup: jailer.cgroup.clone() }
    }

    /// Makes the empty root in the place of an older one.
    pub(super) fn make(&self) -> io::Result<()> {
        banger_sys::files::remove_any(&self.directory)?;
        std::fs::create_dir_all(&self.plan.root)
    }
}

/// Where the jail of a VM is.
pub(super) fn directory(state: &Path) -> PathBuf {
    state.join("jail")
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
