//! Everything that is decided before a machine is started, in one place: pure. It is decided by the machine's plan, the user's
//! choices and what the host has; what is done afterwards looks at nothing else.

use std::path::PathBuf;

use banger_model::VmId;

use super::api::{MemoryBackend, MemoryBackendType, NetworkOverride, SnapshotLoad, VsockOverride};
use super::binds::{arguments, binds, device};
use super::cell::{self, Bind};
use super::config::{INTERFACE, Part, kernel_command_line, parts};
use super::driver::Firecracker;
use super::host::Host;
use super::jail::{self, Jail, JailWish, jail_wish};
use super::names::NO_CONSOLE;
use super::places::Places;
use super::version::Version;
use crate::contract::{MachinePlan, MemorySource, Network, RestorePlan, StartError};

/// A machine that is about to be started or restored.
#[derive(Clone, Debug)]
pub(super) struct FirecrackerPlan {
    pub(super) vm: VmId,
    /// Firecracker's own file.
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) places: Places,
    /// What the console log begins with.
    pub(super) console_head: &'static str,
    /// Whether a process carries its network.
    pub(super) has_network: bool,
    /// The memory file that a pager hands over; `None`: the guest needs no pager.
    pub(super) paged_memory: Option<PathBuf>,
    /// Drives that this user must be able to open: an earlier jail may have given them to its own.
    pub(super) own_drives: Vec<PathBuf>,
    pub(super) orders: Orders,
    binds: Vec<Bind>,
    devices: Vec<Bind>,
    jail: Option<Jail>,
    must_be_jailed: bool,
}

/// What Firecracker is told to do once it listens.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Orders {
    /// These requests in their order, then the start.
    Boot(Vec<Part>),
    /// To load a snapshot.
    Load(Load),
}

/// How a snapshot is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Load {
    memory: MemorySource,
    notes_writes: bool,
    has_network: bool,
}

impl FirecrackerPlan {
    /// Resolves a machine's plan.
    ///
    /// # Errors
    /// [`StartError::BadPlan`] when the machine must be jailed and cannot be.
    pub(super) fn resolve(
        driver: &Firecracker,
        plan: &MachinePlan,
        from: Option<&RestorePlan>,
        host: &Host,
    ) -> Result<Self, StartError> {
        let places = Places::of_plan(plan);
        let arguments = arguments(plan);
        let wish = jail_wish(driver.tuning.jailer, from);
        let jailer = jail::decide(wish, host.jailer.as_ref())?;
        let has_network = match &plan.network {
            Network::None => false,
            Network::UserMode { .. } => true,
        };
        let own_drives = plan.drives.iter().filter(|drive| drive.role.is_writable());
        Ok(Self {
            vm: plan.vm.clone(),
            program: driver.program.clone(),
            console_head: if driver.tuning.serial_console { "" } else { NO_CONSOLE },
            has_network,
            paged_memory: from.and_then(|from| match from.memory {
                MemorySource::File => None,
                MemorySource::Pager => Some(from.snapshot.memory.clone()),
            }),
            own_drives: own_drives.map(|drive| drive.path.clone()).collect(),
            orders: match from {
                None => Orders::Boot(parts(plan, host.parts, &kernel_command_line(plan, driver.tuning))),
                Some(from) => {
                    Orders::Load(Load { memory: from.memory, notes_writes: from.notes_writes, has_network })
                }
            },
            binds: binds(plan, from, &places),
            devices: host.devices.iter().map(|path| device(path)).collect(),
            jail: jailer.map(|jailer| Jail::design(jailer, plan, &arguments)),
            must_be_jailed: wish == JailWish::Always,
            arguments,
            places,
        })
    }

    /// The jail around the machine's cell; `None`: the cell alone keeps it apart.
    pub(super) fn jail(&self) -> Option<&Jail> {
        self.jail.as_ref()
    }

    /// Returns what the machine's cell or jail is furnished with.
    pub(super) fn seen(&self) -> Vec<Bind> {
        match &self.jail {
            // The jailer makes the devices itself.
            Some(_jail) => self.binds.clone(),
            None => self.binds.iter().chain(&self.devices).cloned().collect(),
        }
    }

    /// Returns the plan with the cell alone, where it has a jail and may do without.
    pub(super) fn without_jail(&self) -> Option<Self> {
        let may_do_without = self.jail.is_some() && !self.must_be_jailed;
        may_do_without.then(|| Self { jail: None, ..self.clone() })
    }
}

impl Load {
    /// Returns the request, in the words of this version.
    pub(super) fn request(self, version: Version) -> SnapshotLoad {
        let mem_backend = match self.memory {
            MemorySource::File => MemoryBackend {
                backend_type: MemoryBackendType::File,
                backend_path: cell::SNAPSHOT_MEMORY.to_owned(),
            },
            MemorySource::Pager => {
                MemoryBackend { backend_type: MemoryBackendType::Uffd, backend_path: cell::PAGER.to_owned() }
            }
        };
        // Inside, tap and socket have the names of every machine: the overrides say what a snapshot of ours says anyhow, and
        // make one of another origin fit.
        let network = NetworkOverride { iface_id: INTERFACE.to_owned(), host_dev_name: cell::TAP.to_owned() };
        let has_override = self.has_network && version.takes_network_overrides();
        let vsock = VsockOverride { uds_path: cell::CHANNEL.to_owned() };
        let by_new_name = version.knows_track_dirty_pages_at_load();
        SnapshotLoad {
            snapshot_path: cell::SNAPSHOT_STATE.to_owned(),
            mem_backend,
            track_dirty_pages: self.notes_writes && by_new_name,
            enable_diff_snapshots: self.notes_writes && !by_new_name,
            resume_vm: false,
            network_overrides: has_override.then_some(network).into_iter().collect(),
            vsock_override: version.takes_a_vsock_override().then_some(vsock),
        }
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
