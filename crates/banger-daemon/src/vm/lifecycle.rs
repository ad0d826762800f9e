//! The life of VMs: what every command that changes one needs. The commands are in `create.rs`, `start.rs`, `stop.rs`,
//! `delete.rs` and `change.rs`; what happens by itself is in `reboot.rs` and `bound.rs`.

use std::sync::Arc;
use std::time::Duration;

use banger_model::{OperationKind, VmId};
use banger_store::VmRow;
use banger_vmm::Machine;
use tokio::sync::Notify;
use tracing::warn;

use super::boot::BootContext;
use super::boots::Boots;
use super::doors::Doors;
use super::ending_record::EndingRecord;
use super::locks::VmLocks;
use super::machines::Machines;
use super::records::Records;
use super::room::Room;
use super::rows::Rows;
use super::supplies::Supplies;
use super::usage::Usage;
use super::watch::Watch;
use super::{VmError, way_out};
use crate::boot_source::BootFiles;
use crate::facts::Outcome;
use crate::fault::{Failure, Fault as _};
use crate::operation::{OperationStatus, OperationTask, RequestKey};
use crate::supervisor::Supervisor;
use crate::vmm_source::ChosenVmm;

/// Makes VMs, changes and removes them, and starts and ends their machines.
pub struct Lifecycle {
    pub(super) rows: Rows,
    pub(super) locks: VmLocks,
    pub(super) machines: Arc<Machines>,
    /// Starts at work, so that they can be cancelled.
    pub(super) boots: Boots,
    pub(super) usage: Usage,
    pub(super) room: Room,
    pub(super) doors: Arc<Doors>,
    pub(super) watch: Arc<Watch>,
    /// Told when something may become due earlier than was known.
    pub(super) lifetimes_changed: Arc<Notify>,
    pub(super) supplies: Supplies,
    pub(super) endings: Arc<EndingRecord>,
    pub(super) records: Records,
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
        self.records.operations.begin(kind, target, move |task| service.told(task, work))
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
        let begun =
            self.records.operations.begin_once(key, kind, target, move |task| service.told(task, work));
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
            Ok(self.records.outcome(row))
        }
    }

    pub(super) fn boot_context<'a>(
        &'a self,
        vmm: &'a ChosenVmm,
        files: &'a BootFiles,
        task: &'a OperationTask,
    ) -> BootContext<'a> {
        BootContext {
            rows: &self.rows,
            supplies: &self.supplies,
            vmm,
            files,
            init_delay: Duration::ZERO,
            task,
        }
    }

    /// Makes a machine findable and watches for its end.
    pub(super) fn adopt_machine(self: &Arc<Self>, id: &VmId, machine: Arc<dyn Machine>) {
        let announced = way_out::kept(&self.supplies.directory(id));
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
        self.supplies.remove_sockets(&row.id).await
    }
}
