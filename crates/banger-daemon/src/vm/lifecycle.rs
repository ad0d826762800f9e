//! The VM service: its parts, its locks, and what every command of it needs.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use banger_api::{ErrorBody, OperationKind, OperationView, VmView};
use banger_model::{HostSize, MemoryMib, VmEvent, VmId, WantedVmm, memory_beyond_host};
use banger_store::{Pending, Store, VmRow};
use banger_sys::keyed_lock::{KeyedGuard, KeyedLock};
use banger_sys::paths::Paths;
use banger_vmm::Machine;
use serde::{Serialize, Serializer};
use tokio::sync::Notify;
use tracing::warn;

use super::boot::BootContext;
use super::boots::Boots;
use super::endings::Endings;
use super::machines::{Health, Machines};
use super::reboot::RebootCounts;
use super::removal::remove_directory;
use super::rows::Rows;
use super::usage::Usage;
use super::view::Presence;
use super::{VmError, resolve, view, way_out};
use crate::boot_source::{BootFiles, BootSource};
use crate::config::Config;
use crate::events::Events;
use crate::fault::Fault as _;
use crate::operation::{OperationTask, Operations, RequestKey};
use crate::ssh_keys::UserKey;
use crate::supervisor::Supervisor;
use crate::vmm_source::{ChosenVmm, VmmSource};

/// What the service is built from.
pub struct VmServiceParts {
    /// Rows.
    pub store: Arc<Store>,
    /// Directories.
    pub paths: Paths,
    /// Configuration.
    pub config: Config,
    /// What the host has.
    pub host: HostSize,
    /// Kernels, images and disks.
    pub source: Arc<dyn BootSource>,
    /// VMMs.
    pub vmms: Arc<dyn VmmSource>,
    /// The key that every guest lets in.
    pub user_key: UserKey,
    /// Operations.
    pub operations: Operations,
    /// Events.
    pub events: Events,
    /// Tasks.
    pub supervisor: Supervisor,
}

/// Everything that is done with VMs.
pub struct VmService {
    pub(super) parts: VmServiceParts,
    pub(super) rows: Rows,
    pub(super) machines: Machines,
    pub(super) boots: Boots,
    pub(super) usage: Usage,
    pub(super) endings: Endings,
    pub(super) reboots: RebootCounts,
    /// Told when something may become due earlier than was known.
    pub(super) lifetimes_changed: Arc<Notify>,
    /// Told when something was removed from the disk: a guest may have waited for the room.
    pub(super) room_made: Arc<Notify>,
    /// VMs whose end is at work because it became due. Held for a look-up only.
    pub(super) due_now: Mutex<HashSet<VmId>>,
    /// One lock per VM, held for a whole step of its life; the first in the order of locks.
    locks: KeyedLock<VmId>,
}

/// All VMs, written out as a list of [`VmView`]s: each becomes one only when it is its turn.
pub struct VmList {
    service: Arc<VmService>,
    rows: Arc<[VmRow]>,
}

impl Serialize for VmList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.rows.iter().map(|row| self.service.view(row)))
    }
}

/// Proof that a VM's lock is held.
pub(super) struct VmGuard(#[expect(dead_code, reason = "held for its drop")] KeyedGuard);

impl VmService {
    /// A service with no machines yet; `reconcile` finds those that run.
    #[must_use]
    pub fn new(parts: VmServiceParts) -> Arc<Self> {
        let (machines, boots, locks) = (Machines::default(), Boots::default(), KeyedLock::default());
        let rows = Rows::new(Arc::clone(&parts.store));
        let lifetimes_changed = Arc::new(Notify::new());
        let usage = Usage::new(Arc::clone(&lifetimes_changed));
        let (due_now, room_made) = (Mutex::default(), Arc::new(Notify::new()));
        let (endings, reboots) = (Endings::default(), RebootCounts::default());
        Arc::new(Self {
            parts,
            rows,
            machines,
            boots,
            usage,
            endings,
            reboots,
            lifetimes_changed,
            room_made,
            due_now,
            locks,
        })
    }

    /// Returns all VMs, oldest first.
    ///
    /// # Errors
    /// [`VmError::Store`].
    pub fn list(self: &Arc<Self>) -> Result<VmList, VmError> {
        Ok(VmList { service: Arc::clone(self), rows: self.rows.list()? })
    }

    /// Returns the VM with this name, id or beginning of an id.
    ///
    /// # Errors
    /// [`VmError::NotFound`], [`VmError::Ambiguous`], [`VmError::Store`].
    pub fn show(&self, reference: &str) -> Result<VmView, VmError> {
        Ok(self.view(&self.find(reference)?))
    }

    pub(super) fn find(&self, reference: &str) -> Result<VmRow, VmError> {
        let rows = self.rows.list()?;
        resolve::resolve(&rows, reference).cloned()
    }

    /// Finds a VM that is not on its way out.
    pub(super) fn find_usable(&self, reference: &str) -> Result<VmRow, VmError> {
        let row = self.find(reference)?;
        match row.pending {
            Some(Pending::Delete) => Err(VmError::BeingDeleted { name: row.name }),
            Some(Pending::Create | Pending::Reboot) | None => Ok(row),
        }
    }

    /// Returns the row as it is now: the caller holds the lock, so nobody changes it.
    pub(super) fn reload(&self, id: &VmId) -> Result<VmRow, VmError> {
        self.reload_if_there(id)?.ok_or_else(|| VmError::NotFound { reference: id.to_string() })
    }

    /// As `reload`, for who knows what to do when it is gone.
    pub(super) fn reload_if_there(&self, id: &VmId) -> Result<Option<VmRow>, VmError> {
        self.rows.get(id)
    }

    pub(super) async fn lock(&self, id: &VmId) -> VmGuard {
        VmGuard(self.locks.lock(id).await)
    }

    /// Waits for a VM's lock, and says so when somebody else has it.
    pub(super) async fn lock_unless_cancelled(
        &self,
        id: &VmId,
        task: &OperationTask,
    ) -> Result<VmGuard, VmError> {
        let mut lock = pin!(self.lock(id));
        match futures::poll!(&mut lock) {
            Poll::Ready(held) => Ok(held),
            Poll::Pending => {
                task.stage("wait for another command", "");
                Ok(task.unless_cancelled(lock).await?)
            }
        }
    }

    pub(super) fn view(&self, row: &VmRow) -> VmView {
        let presence = Presence {
            pid: self.machines.get(&row.id).map(|machine| machine.handle().process.pid),
            is_silent: self.machines.health(&row.id) == Some(Health::Silent),
            away_since_ms: self.machines.away_since_ms(&row.id),
            paused: self.paused(row),
            network_trouble: self.network_trouble(&row.id),
            expires_at_ms: self.lifetime(row).expires_at_ms(),
        };
        view::view(row, presence)
    }

    /// Begins an operation; its result is the VM as it is then.
    pub(super) fn begin<W, F>(self: &Arc<Self>, kind: OperationKind, target: &str, work: W) -> OperationView
    where
        W: FnOnce(Arc<Self>, OperationTask) -> F,
        F: Future<Output = Result<Option<VmRow>, VmError>> + Send + 'static,
    {
        let service = Arc::clone(self);
        self.parts.operations.begin(kind, target, move |task| service.told(task, work))
    }

    /// As `begin`, but once only for a key.
    pub(super) fn begin_once<W, F>(
        self: &Arc<Self>,
        key: RequestKey,
        kind: OperationKind,
        target: &str,
        work: W,
    ) -> Result<OperationView, VmError>
    where
        W: FnOnce(Arc<Self>, OperationTask) -> F,
        F: Future<Output = Result<Option<VmRow>, VmError>> + Send + 'static,
    {
        let service = Arc::clone(self);
        let begun = self.parts.operations.begin_once(key, kind, target, move |task| service.told(task, work));
        begun.map_err(VmError::KeyReused)
    }

    /// Does the work of an operation and puts its outcome into the form that travels.
    fn told<W, F>(
        self: Arc<Self>,
        task: OperationTask,
        work: W,
    ) -> impl Future<Output = Result<serde_json::Value, ErrorBody>> + Send + 'static
    where
        W: FnOnce(Arc<Self>, OperationTask) -> F,
        F: Future<Output = Result<Option<VmRow>, VmError>> + Send + 'static,
    {
        let work = work(Arc::clone(&self), task);
        async move {
            let row = work.await.map_err(|error| error.to_body())?;
            self.result(row.as_ref())
        }
    }

    /// Returns a VM as the result of an operation.
    pub(super) fn result(&self, row: Option<&VmRow>) -> Result<serde_json::Value, ErrorBody> {
        let view = row.map(|row| self.view(row));
        serde_json::to_value(view).map_err(|error| ErrorBody::internal(&error))
    }

    pub(super) fn choose_vmm(&self, wish: WantedVmm) -> Result<ChosenVmm, VmError> {
        self.parts.vmms.choose(wish).map_err(VmError::Vmm)
    }

    /// Returns what whoever starts a VM with this memory is told.
    pub(super) fn warnings(&self, vmm: &ChosenVmm, memory: MemoryMib) -> Vec<String> {
        let beyond_host =
            memory_beyond_host(memory, vmm.vmm.memory_beside_guest_mib(memory), self.parts.host);
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
            paths: &self.parts.paths,
            source: self.parts.source.as_ref(),
            vmm,
            files,
            authorized_key: self.parts.user_key.authorized_key.line(),
            boot_deadline: self.parts.config.boot_deadline,
            ready_ports_deadline: self.parts.config.ready_ports_deadline,
            init_delay: Duration::ZERO,
            guest: self.parts.config.guest,
            task,
        }
    }

    /// Makes a machine findable and watches for its end.
    pub(super) fn adopt_machine(self: &Arc<Self>, id: &VmId, machine: Arc<dyn Machine>) {
        let announced = way_out::kept(&self.parts.paths.vm(id.as_str()));
        self.machines.insert(id.clone(), Arc::clone(&machine), announced);
        let (service, id) = (Arc::clone(self), id.clone());
        self.parts.supervisor.spawn("machine watch", async move {
            let end = machine.ended().await;
            if let Some(hearing) = service.machines.hearing(&id, &machine) {
                way_out::last_word(hearing).await;
            }
            // Whoever ends a machine on purpose holds the lock and forgets the machine before it lets go.
            let held = service.lock(&id).await;
            if let Err(error) = service.machine_ended(&held, &id, &machine, end).await {
                warn!(vm = %id, %error, "the end of a machine is not recorded");
            }
        });
    }

    /// Watches the guest of a machine that others can find, and its network.
    pub(super) fn watch(self: &Arc<Self>, id: &VmId, machine: &Arc<dyn Machine>) {
        self.watch_guest(id, machine);
        self.watch_way_out(id, machine);
        self.watch_network(id, machine);
    }

    /// Ends a machine and removes what it leaves: companions, sockets. The caller holds the VM's lock, so that no other
    /// machine has taken the same places.
    pub(super) async fn clean_up(&self, machine: &Arc<dyn Machine>, row: &VmRow) -> Result<(), VmError> {
        machine.kill().await.map_err(|source| VmError::Kill { name: row.name.clone(), source })?;
        remove_directory(self.parts.paths.vm_runtime(row.id.as_str())).await
    }

    /// Moves a VM to its next state, in the store.
    pub(super) fn record(&self, _held: &VmGuard, row: &mut VmRow, event: VmEvent) -> Result<(), VmError> {
        self.rows.record(row, event)
    }
}
