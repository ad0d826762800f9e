//! Making a VM: everything that can be refused is refused before anything is made; then the boot's phases run, and on
//! failure their undo. A guest that never answers is the one failure that keeps the VM: its console tells why.

use std::sync::Arc;
use std::time::Duration;

use banger_model::{
    DiskBytes, KernelName, MemoryMib, OperationKind, Ttl, VcpuCount, VmEvent, VmId, VmName, VmSpec, VmState,
    WaitFor, WantedVmm, generate_name,
};
use banger_store::{CreateRequest, GuestIdentity, Pending, StoreError, VmRow};
use banger_sys::id::{random_bytes, random_hex};
use banger_sys::process::ProcessIdentity;
use tracing::warn;

use super::boot::{BootContext, DisksReady, Reserved};
use super::lifecycle::Lifecycle;
use super::locks::VmGuard;
use super::undo::UndoList;
use super::{VmError, bound};
use crate::boot_source::WantedImage;
use crate::clock::now_ms;
use crate::fault::Fault as _;
use crate::operation::{OperationStatus, OperationTask, RequestKey};
use crate::ssh_keys::KeyPair;
use crate::vmm_source::ChosenVmm;

/// How long the init of a new guest leaves the processor to the command that follows at once.
const INIT_DELAY: Duration = Duration::from_millis(300);

/// A VM that somebody wants. What is absent is filled in from the configuration, the host and the image.
#[derive(Clone, Debug)]
pub struct NewVm {
    /// Name; generated when absent.
    pub name: Option<VmName>,
    /// Image of its root.
    pub image: WantedImage,
    /// Kernel; the image's own when absent.
    pub kernel: Option<KernelName>,
    /// Virtual processors.
    pub vcpus: Option<VcpuCount>,
    /// Memory.
    pub memory: Option<MemoryMib>,
    /// Overlay (`/`).
    pub overlay: Option<DiskBytes>,
    /// Work disk (`/root`).
    pub work: Option<DiskBytes>,
    /// What its start waits for; it is only made when absent.
    pub start: Option<WaitFor>,
    /// A command follows at once: the guest's init leaves it the processor for a moment.
    pub command_follows: bool,
    /// VMM to use; the configuration's when absent.
    pub vmm: Option<WantedVmm>,
    /// After which time the VM is deleted.
    pub ttl: Option<Ttl>,
    /// The VM is deleted when this process of the host has ended, and nothing is kept of a failed start.
    pub bound_to: Option<ProcessIdentity>,
    /// Makes it once, however often it is asked for.
    pub request_key: Option<RequestKey>,
}

impl Lifecycle {
    /// Begins to make a VM. What can be refused at once is.
    ///
    /// # Errors
    /// [`VmError::Store`] when the name is taken, [`VmError::Vmm`] when nothing here can run it.
    pub fn create(self: &Arc<Self>, request: NewVm) -> Result<OperationStatus, VmError> {
        let key = request.request_key.clone();
        if let Some(answer) = key.as_ref().map(|key| self.records.answer_again(key)).transpose()?.flatten() {
            return Ok(answer);
        }
        self.room.refuse_below_floor()?;
        let wish = request.vmm.unwrap_or(self.supplies.config.vmm);
        let vmm = self.supplies.choose_vmm(wish)?;
        let bound = request.bound_to.map(bound::open).transpose()?;
        let rows = self.rows.list()?;
        let name = match &request.name {
            Some(name) => refuse_taken(&rows, name)?,
            None => free_name(&rows),
        };
        let target = name.to_string();
        let work = |service: Arc<Self>, task: OperationTask| async move {
            let id = VmId::from_bits(u64::from_ne_bytes(random_bytes()));
            if let Some(process) = bound {
                service.delete_after(process, id.clone(), Some(task.clone()));
            }
            service.create_now(id, request, name, (wish, vmm), &task).await.map(Some)
        };
        match key {
            Some(key) => self.begin_once(key, OperationKind::VmCreate, &target, work),
            None => Ok(self.begin(OperationKind::VmCreate, &target, work)),
        }
    }

    async fn create_now(
        self: Arc<Self>,
        id: VmId,
        request: NewVm,
        name: VmName,
        (wish, vmm): (WantedVmm, ChosenVmm),
        task: &OperationTask,
    ) -> Result<VmRow, VmError> {
        let config = &self.supplies.config;
        let memory = request.memory.unwrap_or(config.memory);
        self.supplies.warnings(&vmm, memory).iter().for_each(|warning| task.warn(warning));
        let files = self.supplies.boot_files(&request.image, request.kernel.as_ref(), task).await?;
        let spec = VmSpec {
            image: files.image.manifest.name.clone(),
            kernel: files.kernel_name.clone(),
            vcpus: request.vcpus.unwrap_or(config.vcpus),
            memory,
            work_disk: request.work.unwrap_or(config.disk),
            overlay_disk: request.overlay.unwrap_or(config.disk),
        };
        self.room.warn_of_size(&spec, task);
        let held = self.locks.lock(&id).await;
        // From the row's insert on, others find the VM: a kill or delete of it cancels us.
        let _entry = self.boots.register(&id, task);
        // A command that waits for services has nothing to gain from an init that waits for it.
        let is_first = request.command_follows && files.image.manifest.ready_ports.is_empty();
        let init_delay = if is_first { INIT_DELAY } else { Duration::ZERO };
        let context = BootContext { init_delay, ..self.boot_context(&vmm, &files, task) };
        let mut undo = UndoList::default();
        let made = async {
            let request_of_row = request.request_key.clone().map(|key| CreateRequest {
                key: key.key,
                sha256: key.sha256,
                op_id: task.id().to_owned(),
            });
            let row = new_row(id.clone(), name, spec, wish)?;
            let bound_to = request.bound_to.map(|process| (process.pid, process.start_ticks));
            let row = VmRow { ttl: request.ttl, request: request_of_row, bound_to, ..row };
            let reserved = self.reserve(&context, &mut undo, row, request.name.is_some())?;
            self.run_phases(&context, &mut undo, reserved, request.start).await
        };
        let error = match made.await {
            Ok(row) => return Ok(row),
            Err(error) => error,
        };
        // One that is made for a single command is of no use without it.
        let is_bound = request.bound_to.is_some();
        if error.leaves_vm_running() && !is_bound {
            self.note_failure(&held, &id, &error)?;
            return Err(error);
        }
        let is_of_guest = error.is_of_guest() || error.leaves_vm_running();
        let is_kept = is_of_guest && !is_bound;
        if is_kept {
            undo.keep_vm();
        }
        let error = undo.run(&self.rows, error).await;
        self.machines.forget(&id);
        if is_kept {
            self.keep_failed(&held, &id, &error)?;
        }
        if is_of_guest && is_bound {
            let console = error.console().join("\n");
            warn!(vm = %id, error = error.message(), console, "a guest did not get ready; its VM is deleted");
            return Err(VmError::Discarded(Box::new(error)));
        }
        Err(error)
    }

    /// Takes the row's name; when nobody asked for that very name, another one will do.
    fn reserve(
        &self,
        context: &BootContext<'_>,
        undo: &mut UndoList,
        mut row: VmRow,
        is_wanted: bool,
    ) -> Result<Reserved, VmError> {
        loop {
            match Reserved::new(context, undo, row.clone()) {
                Err(VmError::Store(StoreError::NameTaken { .. })) if !is_wanted => {
                    row.name = free_name(&self.rows.list()?);
                    context.task.set_target(row.name.as_str());
                }
                reserved => return reserved,
            }
        }
    }

    async fn run_phases(
        self: &Arc<Self>,
        context: &BootContext<'_>,
        undo: &mut UndoList,
        reserved: Reserved,
        start: Option<WaitFor>,
    ) -> Result<VmRow, VmError> {
        let disks = reserved.disks(context, undo).await?;
        let Some(wait) = start else {
            let mut row = disks.into_row();
            row.pending = None;
            self.rows.update(&row)?;
            self.lifetimes_changed.notify_one();
            return Ok(row);
        };
        self.boot(context, undo, disks, wait).await
    }

    /// Starts a VM's machine and waits for its guest.
    pub(super) async fn boot(
        self: &Arc<Self>,
        context: &BootContext<'_>,
        undo: &mut UndoList,
        disks: DisksReady,
        wait: WaitFor,
    ) -> Result<VmRow, VmError> {
        let warnings = self.supplies.warnings(context.vmm, disks.row().spec.memory);
        self.records.warn(disks.row(), &warnings, context.task)?;
        let launched = disks.launch(context, undo).await?;
        let (id, machine) = (launched.id().clone(), launched.machine());
        self.adopt_machine(&id, Arc::clone(&machine));
        self.records.warn(launched.row(), machine.warnings(), context.task)?;
        let ready = launched.wait_for_guest(context, wait).await?;
        self.watch.begin(&id, &machine);
        self.lifetimes_changed.notify_one();
        ready.wait_for_ports(context, &machine).await?;
        Ok(ready.row)
    }

    /// Keeps a VM whose guest did not get ready, so that its console can be read and it can be started again.
    pub(super) fn keep_failed(&self, held: &VmGuard, id: &VmId, error: &VmError) -> Result<(), VmError> {
        let mut row = self.rows.reload(id)?;
        row.pending = None;
        row.last_error = Some(error.message());
        let event = failure_event(&row);
        self.rows.record(held, &mut row, event)
    }
}

/// Returns what the failure of a start means for the VM: its guest may have been ready, and have ended while its services
/// were waited for.
pub(super) fn failure_event(row: &VmRow) -> VmEvent {
    if row.state == VmState::Running { VmEvent::MachineEnded } else { VmEvent::BootFailed }
}

/// Returns the name when no VM has it: the early answer; the store's own refusal decides a race.
fn refuse_taken(rows: &[VmRow], name: &VmName) -> Result<VmName, VmError> {
    if rows.iter().any(|row| row.name == *name) {
        return Err(VmError::Store(StoreError::NameTaken { name: name.clone() }));
    }
    Ok(name.clone())
}

fn free_name(rows: &[VmRow]) -> VmName {
    let mut name = generate_name(u32::from_ne_bytes(random_bytes()));
    while rows.iter().any(|row| row.name == name) {
        name = generate_name(u32::from_ne_bytes(random_bytes()));
    }
    name
}

fn new_row(id: VmId, name: VmName, spec: VmSpec, vmm_wish: WantedVmm) -> Result<VmRow, VmError> {
    let key = KeyPair::generate(id.as_str()).map_err(VmError::Key)?;
    let [a, b, c] = random_bytes::<3>();
    Ok(VmRow {
        id,
        name,
        state: VmState::Created,
        pending: Some(Pending::Create),
        spec,
        guest: GuestIdentity {
            machine_id: random_hex::<16>(),
            ssh_host_key: key.private,
            ssh_host_key_public: key.public_line,
            mac: format!("52:54:00:{a:02x}:{b:02x}:{c:02x}"),
        },
        machine: None,
        vmm_wish,
        vmm: None,
        boot_id: None,
        last_error: None,
        created_at_ms: now_ms(),
        started_at_ms: None,
        changed_at_ms: None,
        touched_at_ms: None,
        ttl: None,
        request: None,
        bound_to: None,
    })
}
