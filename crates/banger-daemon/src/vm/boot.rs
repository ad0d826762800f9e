//! A boot, phase by phase. Each phase consumes itself, notes its undo before it acts, and tells one stage:
//!
//! ```text
//! Reserved ──disks──▶ DisksReady ──launch──▶ Launched ──wait_for_guest──▶ GuestReady
//! ```
//! A VM that exists already enters at `DisksReady`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use banger_agent_proto::INIT_KEY;
use banger_guest::AgentClient;
use banger_model::{VmEvent, VmId, WaitFor};
use banger_store::VmRow;
use banger_sys::failpoint;
use banger_sys::files::create_private_directory;
use banger_vmm::{Drive, DriveRole, Machine, MachinePlan, Network};
use tracing::info;

use super::command::{CommandFiles, WITH_THE_VM};
use super::rows::{Rows, advance};
use super::supplies::Supplies;
use super::undo::{Undo, UndoList};
use super::{GuestError, GuestFailure, VmError, guest, way_out};
use crate::boot_source::{BootFiles, OVERLAY_DISK, WORK_DISK};
use crate::clock::now_ms;
use crate::operation::OperationTask;
use crate::vmm_source::ChosenVmm;

/// What every phase needs.
pub(super) struct BootContext<'a> {
    pub(super) rows: &'a Rows,
    pub(super) supplies: &'a Supplies,
    pub(super) vmm: &'a ChosenVmm,
    pub(super) files: &'a BootFiles,
    pub(super) init_delay: Duration,
    pub(super) task: &'a OperationTask,
}

/// The name is ours: the row is in the store.
pub(super) struct Reserved {
    row: VmRow,
}

/// The VM's disks exist.
pub(super) struct DisksReady {
    row: VmRow,
}

/// The machine runs.
pub(super) struct Launched {
    row: VmRow,
    machine: Arc<dyn Machine>,
}

/// The guest is this VM and takes commands.
pub(super) struct GuestReady {
    pub(super) row: VmRow,
    pub(super) client: AgentClient,
}

impl Reserved {
    /// Adds the row; the store refuses a name that is taken.
    pub(super) fn new(context: &BootContext<'_>, undo: &mut UndoList, row: VmRow) -> Result<Self, VmError> {
        context.rows.insert(&row).map_err(VmError::Store)?;
        undo.push(Undo::Row(row.id.clone()));
        Ok(Self { row })
    }

    /// Makes the overlay and the work disk.
    pub(super) async fn disks(
        self,
        context: &BootContext<'_>,
        undo: &mut UndoList,
    ) -> Result<DisksReady, VmError> {
        context.task.stage("create disks", "");
        let directory = context.supplies.directory(&self.row.id);
        undo.push(Undo::Disks(directory.clone()));
        create_private_directory(&directory).map_err(VmError::MakeDirectory)?;
        // Never given up half-way: its thread would go on to write while the undo removes the directory.
        failpoint::pass("create disks");
        let made = context.supplies.source.make_disks(&directory, &self.row.spec, context.files).await;
        failpoint::pass("disks made");
        made.map_err(VmError::BootSource)?;
        context.task.check()?;
        Ok(DisksReady { row: self.row })
    }
}

impl DisksReady {
    /// Takes up a VM whose disks exist.
    pub(super) fn of_existing(row: VmRow) -> Self {
        Self { row }
    }

    /// The VM.
    pub(super) fn row(&self) -> &VmRow {
        &self.row
    }

    /// Returns the VM without starting it.
    pub(super) fn into_row(self) -> VmRow {
        self.row
    }

    /// Starts the machine.
    pub(super) async fn launch(
        mut self,
        context: &BootContext<'_>,
        undo: &mut UndoList,
    ) -> Result<Launched, VmError> {
        context.task.check()?;
        context.task.stage("start machine", &context.vmm.label);
        let name = self.row.name.clone();
        advance(&mut self.row, VmEvent::BootStarted)?;
        self.row.vmm = Some(context.vmm.label.clone());
        self.row.boot_id = None;
        self.row.last_error = None;
        self.row.started_at_ms = Some(now_ms());
        self.row.machine = Some(self.row.spec.sizes());
        context.rows.update(&self.row)?;
        let runtime = context.supplies.paths.vm_sockets(self.row.id.as_str());
        undo.push(Undo::Sockets(runtime.clone()));
        create_private_directory(&runtime).map_err(VmError::MakeDirectory)?;
        let directory = context.supplies.directory(&self.row.id);
        let command = CommandFiles::of(&directory);
        way_out::forget(&directory)
            .and_then(|()| command.lose(WITH_THE_VM))
            .map_err(|source| VmError::Directory { action: "tidy up", path: directory, source })?;
        let plan = plan(context, &self.row);
        let started = context.task.unless_cancelled(context.vmm.vmm.start(&plan)).await?;
        let machine: Arc<dyn Machine> =
            started.map_err(|source| VmError::Launch { name: name.clone(), source })?.into();
        context.files.kept.let_go();
        undo.push(Undo::Machine(name, Arc::clone(&machine)));
        Ok(Launched { row: self.row, machine })
    }
}

impl Launched {
    /// Whose machine it is.
    pub(super) fn id(&self) -> &VmId {
        &self.row.id
    }

    /// The VM.
    pub(super) fn row(&self) -> &VmRow {
        &self.row
    }

    /// Returns the machine, so that others can find it while its guest boots.
    pub(super) fn machine(&self) -> Arc<dyn Machine> {
        Arc::clone(&self.machine)
    }

    /// Waits for the guest's hello and makes it this VM. Nobody lets a guest go on that stands still before it is ready:
    /// its boot has failed.
    pub(super) async fn wait_for_guest(
        self,
        context: &BootContext<'_>,
        wait: WaitFor,
    ) -> Result<GuestReady, VmError> {
        self.meet_guest(context, wait).await.map_err(|error| match error {
            VmError::Guest(GuestError { name, why: GuestFailure::Paused(reason), .. }) => {
                GuestError::new(name, GuestFailure::PausedAtBoot(reason)).into()
            }
            error => error,
        })
    }

    async fn meet_guest(mut self, context: &BootContext<'_>, wait: WaitFor) -> Result<GuestReady, VmError> {
        let task = context.task;
        let begin = Instant::now();
        task.stage("boot guest", "");
        // Boxed: each holds a whole connection's state, and a boot is moved about before it is first polled.
        let hello =
            Box::pin(guest::wait_for_hello(&self.machine, &self.row, context.supplies.config.boot_deadline));
        let hello = guest::unless_ended(&self.machine, &self.row, hello);
        let (client, boot_id) = task.unless_cancelled(hello).await??;
        let hello_ms = begin.elapsed().as_millis();
        let network = context.vmm.vmm.guest_network(&network(&self.row));
        let identified = Box::pin(guest::identify(
            &self.machine,
            &client,
            &self.row,
            network,
            context.supplies.user_key.authorized_key.line(),
            context.init_delay,
            context.supplies.config.guest,
            context.files.image.manifest.process.as_ref(),
        ));
        task.unless_cancelled(guest::unless_ended(&self.machine, &self.row, identified)).await??;
        info!(vm = %self.row.name, hello_ms, identified_ms = begin.elapsed().as_millis(), "guest is ready");
        if wait == WaitFor::System {
            task.stage("wait for services", "");
            let system = Box::pin(guest::wait_for_system(
                &self.machine,
                &client,
                &self.row,
                context.supplies.config.boot_deadline,
            ));
            task.unless_cancelled(guest::unless_ended(&self.machine, &self.row, system)).await??;
        }
        advance(&mut self.row, VmEvent::BootFinished)?;
        self.row.pending = None;
        self.row.boot_id = Some(boot_id);
        context.rows.update(&self.row)?;
        Ok(GuestReady { row: self.row, client })
    }
}

/// Tells the guest which init is meant, where its image says so.
fn init_argument(context: &BootContext<'_>) -> Option<String> {
    context.files.image.manifest.init.as_ref().map(|init| format!("{INIT_KEY}={init}"))
}

fn network(row: &VmRow) -> Network {
    Network::UserMode { mac: row.guest.mac.clone() }
}

fn plan(context: &BootContext<'_>, row: &VmRow) -> MachinePlan {
    let directory = context.supplies.directory(&row.id);
    let drive = |role, path| Drive { role, path };
    let mut drives = vec![drive(DriveRole::Base, context.files.rootfs.clone())];
    drives.extend(context.files.modules.clone().map(|path| drive(DriveRole::Modules, path)));
    drives.push(drive(DriveRole::Overlay, directory.join(OVERLAY_DISK)));
    drives.push(drive(DriveRole::Work, directory.join(WORK_DISK)));
    MachinePlan {
        vm: row.id.clone(),
        runtime_directory: context.supplies.paths.vm_sockets(row.id.as_str()),
        kernel: context.files.kernel.clone(),
        kernel_arguments: init_argument(context).into_iter().collect(),
        vcpus: row.spec.vcpus,
        memory: row.spec.memory,
        drives,
        network: network(row),
        drive_limit: None,
        state_directory: directory,
    }
}
