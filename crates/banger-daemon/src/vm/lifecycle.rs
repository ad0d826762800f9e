//! The life of VMs: what every command that changes one needs. The commands are in `create.rs`, `start.rs`, `stop.rs`,
//! `delete.rs` and `change.rs`; what happens by itself is in `reboot.rs` and `bound.rs`.

use std::sync::Arc;
use std::time::Duration;

use banger_model::{HostSize, MemoryMib, OperationKind, VmId, WantedVmm, memory_beyond_host};
use banger_store::VmRow;
use banger_sys::paths::Paths;
use banger_vmm::Machine;
use tokio::sync::Notify;
use tracing::warn;

use super::boot::BootContext;
use super::boots::Boots;
use super::doors::Doors;
use super::endings::Endings;
use super::locks::VmLocks;
use super::machines::Machines;
use super::reboots::RebootCounts;
use super::removal::remove_sockets;
use super::room::Room;
use super::rows::Rows;
use super::strays::Strays;
use super::usage::Usage;
use super::views::Views;
use super::watch::Watch;
use super::{VmError, way_out};
use crate::boot_source::{BootFiles, BootSource};
use crate::config::Config;
use crate::events::Events;
use crate::facts::Outcome;
use crate::fault::{Failure, Fault as _};
use crate::operation::{OperationStatus, OperationTask, Operations, RequestKey};
use crate::ssh_keys::UserKey;
use crate::supervisor::Supervisor;
use crate::vmm_source::{ChosenVmm, VmmSource};

/// Makes VMs, changes and removes them, and starts and ends their machines.
pub struct Lifecycle {
    pub(super) rows: Rows,
    pub(super) locks: VmLocks,
    pub(super) machines: Arc<Machines>,
    /// Starts at work, so that they can be cancelled.
    pub(super) boots: Boots,
    pub(super) usage: Usage,
    pub(super) endings: Arc<Endings>,
    pub(super) reboots: RebootCounts,
    pub(super) room: Room,
    pub(super) views: Views,
    pub(super) doors: Arc<Doors>,
    pub(super) watch: Arc<Watch>,
    /// Told when something may become due earlier than was known.
    pub(super) lifetimes_changed: Arc<Notify>,
    pub(super) paths: Paths,
    pub(super) config: Config,
    pub(super) host: HostSize,
    pub(super) source: Arc<dyn BootSource>,
    pub(super) vmms: Arc<dyn VmmSource>,
    pub(super) strays: Strays,
    pub(super) user_key: UserKey,
    pub(super) operations: Operations,
    pub(super) events: Events,
    pub(super) supervisor: Supervisor,
}

impl Lifecycle {
    /// Begins an operation; its result is the VM as it is then.
    pub(super) fn begin<W, F>(self: &Arc<Self>, kind: OperationKind, target: &str, work: W) -> OperationStatus
    where
        W: FnOnce(Arc<Self>, OperationTask) -> F,
        F: Future<Output = Result<Option<VmRow>, VmError>> + Send + 'static,
    {
        let service = Arc::clone(self);
        self.operations.begin(kind, target, move |task| service.told(task, work))
    }

    /// As `begin`, but once only for a key.
    pub(super) fn begin_once<W, F>(
        self: &Arc<Self>,
        key: RequestKey,
        kind: OperationKind,
        target: &str,
        work: W,
    ) -> Result<OperationStatus, VmError>
    where
        W: FnOnce(Arc<Self>, OperationTask) -> F,
        F: Future<Output = Result<Option<VmRow>, VmError>> + Send + 'static,
    {
        let service = Arc::clone(self);
        let begun = self.operations.begin_once(key, kind, target, move |task| service.told(task, work));
        begun.map_err(VmError::KeyReused)
    }

    /// Does the work of an operation and tells its outcome.
    fn told<W, F>(
        self: Arc<Self>,
        task: OperationTask,
        work: W,
    ) -> impl Future<Output = Result<Outcome, Failure>> + Send + 'static
    where
        W: FnOnce(Arc<Self>, OperationTask) -> F,
        F: Future<Output = Result<Option<VmRow>, VmError>> + Send + 'static,
    {
        let work = work(Arc::clone(&self), task);
        async move {
            let row = work.await.map_err(|error| error.to_failure())?;
            Ok(self.outcome(row))
        }
    }

    /// Returns a VM as the outcome of an operation.
    pub(super) fn outcome(&self, row: Option<VmRow>) -> Outcome {
        row.map_or(Outcome::Nothing, |row| Outcome::Vm(Box::new(self.views.of(row))))
    }

    pub(super) fn choose_vmm(&self, wish: WantedVmm) -> Result<ChosenVmm, VmError> {
        self.vmms.choose(wish).map_err(VmError::Vmm)
    }

    /// Returns what whoever starts a VM with this memory is told.
    pub(super) fn warnings(&self, vmm: &ChosenVmm, memory: MemoryMib) -> Vec<String> {
        let beyond_host = memory_beyond_host(memory, vmm.vmm.memory_beside_guest_mib(memory), self.host);
        vmm.warnings.iter().cloned().chain(beyond_host).collect()
    }

    pub(super) fn boot_context<'a>(
        &'a self,
        vmm: &'a ChosenVmm,
        files: &'a BootFiles,
        task: &'a OperationTask,
    ) -> BootContext<'a> {
        BootContext {
            rows: &self.rows,
            paths: &self.paths,
            source: self.source.as_ref(),
            vmm,
            files,
            authorized_key: self.user_key.authorized_key.line(),
            boot_deadline: self.config.boot_deadline,
            ready_ports_deadline: self.config.ready_ports_deadline,
            init_delay: Duration::ZERO,
            guest: self.config.guest,
            task,
        }
    }

    /// Makes a machine findable and watches for its end.
    pub(super) fn adopt_machine(self: &Arc<Self>, id: &VmId, machine: Arc<dyn Machine>) {
        let announced = way_out::kept(&self.paths.vm(id.as_str()));
        self.machines.insert(id.clone(), Arc::clone(&machine), announced);
        let (service, id) = (Arc::clone(self), id.clone());
        self.supervisor.spawn("machine watch", async move {
            let end = machine.ended().await;
            if let Some(hearing) = service.machines.hearing(&id, &machine) {
                way_out::last_word(hearing).await;
            }
            // Whoever ends a machine on purpose holds the lock and forgets the machine before it lets go.
            let held = service.locks.lock(&id).await;
            if let Err(error) = service.machine_ended(&held, &id, &machine, end).await {
                warn!(vm = %id, %error, "the end of a machine is not recorded");
            }
        });
    }

    /// Takes a machine over that an older daemon has started, with all that is known of it.
    pub(super) async fn take_over(self: &Arc<Self>, id: &VmId, machine: &Arc<dyn Machine>) {
        self.adopt_machine(id, Arc::clone(machine));
        self.watch.find_paused(id, machine).await;
        self.watch.begin(id, machine);
    }

    /// Ends a machine and removes what it leaves: companions, sockets. The caller holds the VM's lock, so that no other
    /// machine has taken the same places.
    pub(super) async fn clean_up(&self, machine: &Arc<dyn Machine>, row: &VmRow) -> Result<(), VmError> {
        machine.kill().await.map_err(|source| VmError::Kill { name: row.name.clone(), source })?;
        remove_sockets(&self.paths, &row.id).await
    }
}
