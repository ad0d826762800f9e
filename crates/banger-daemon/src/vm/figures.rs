//! What is seen of a VM: the listeners of its guest, and what it uses, from the host's side and from the guest's. A guest
//! that says nothing costs its own figures, never those of the host.

use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use banger_agent_proto::{CONTROL_PORT, StatsReply};
use banger_guest::{AgentClient, AgentError};
use banger_model::{PauseReason, VmId, VmName, VmRef, VmState};
use banger_store::VmRow;
use banger_sys::process::ProcessIdentity;
use banger_vmm::{DriveRole, Machine};

use super::doors::{CONNECT_DEADLINE, Doors};
use super::guest_words::{self, GuestListener};
use super::{GuestError, GuestFailure, VmError};
use crate::fault::Fault as _;

/// How long a guest may take for all that it is asked here: who asked hears within 5 s that it is silent.
const GUEST_DEADLINE: Duration = Duration::from_secs(4);

/// What a VM uses.
#[derive(Clone, Debug)]
pub struct VmFigures {
    /// Identity.
    pub id: VmId,
    /// Name.
    pub name: VmName,
    /// Where it is in its life.
    pub state: VmState,
    /// Why its guest stands still, if it does.
    pub paused: Option<PauseReason>,
    /// As the host sees it.
    pub host: HostFigures,
    /// As the guest sees itself, within bounds; absent when it does not run or says nothing.
    pub guest: Option<StatsReply>,
    /// Why a guest that runs has no figures.
    pub guest_error: Option<String>,
}

/// What a VM uses as the host sees it.
#[derive(Clone, Debug)]
pub struct HostFigures {
    /// The moment, in milliseconds of the host's clock that never jumps: for rates.
    pub at_ms: u64,
    /// Its machine; absent when it has none.
    pub machine: Option<MachineFigures>,
    /// Its own disks.
    pub disks: Vec<DiskFigures>,
}

/// What the processes of a machine use: the VMM and its companions.
#[derive(Clone, Copy, Debug)]
pub struct MachineFigures {
    /// Processor time since their start, in milliseconds.
    pub cpu_ms: u64,
    /// Memory that they hold (resident set).
    pub resident_bytes: u64,
}

/// What a disk takes on the host.
#[derive(Clone, Copy, Debug)]
pub struct DiskFigures {
    /// Which one.
    pub role: DriveRole,
    /// Bytes that are really there: what the guest has written.
    pub allocated_bytes: u64,
    /// Bytes that the guest sees.
    pub size_bytes: u64,
}

impl Doors {
    /// Returns what listens in the guest of a VM.
    ///
    /// # Errors
    /// [`VmError::Denied`] when it does not run, [`VmError::Guest`] when its guest gives no answer.
    pub async fn listeners(&self, vm: &VmRef) -> Result<Vec<GuestListener>, VmError> {
        let row = self.rows.find_usable(vm)?;
        let listeners =
            self.ask(&row, "listeners", async |agent| agent.listeners(GUEST_DEADLINE).await).await?;
        Ok(guest_words::listeners(listeners))
    }

    /// Returns what a VM uses; with `host_only` its guest is not asked.
    ///
    /// # Errors
    /// [`VmError`] of finding it.
    pub async fn stats(&self, vm: &VmRef, host_only: bool) -> Result<VmFigures, VmError> {
        let row = self.rows.find(vm)?;
        let guest = match row.state {
            VmState::Running if host_only || self.machines.paused(&row.id).is_some() => None,
            VmState::Running => {
                Some(self.ask(&row, "stats", async |agent| agent.stats(GUEST_DEADLINE).await).await)
            }
            VmState::Created | VmState::Starting | VmState::Stopping | VmState::Stopped | VmState::Failed => {
                None
            }
        };
        let (guest, guest_error, paused) = match guest {
            Some(Ok(reply)) => (Some(guest_words::stats(reply)), None, None),
            Some(Err(VmError::Guest(GuestError { why: GuestFailure::Paused(reason), .. }))) => {
                (None, None, Some(reason))
            }
            Some(Err(error)) => (None, Some(error.message()), None),
            None => (None, None, self.machines.paused(&row.id)),
        };
        let host = self.host_stats(&row);
        Ok(VmFigures { id: row.id, name: row.name, state: row.state, paused, host, guest, guest_error })
    }

    /// Asks a running guest one thing, after a hello, all within the deadline. To be looked at is not to be used: a VM
    /// that nobody uses stops in its time, however often it is looked at.
    async fn ask<T>(
        &self,
        row: &VmRow,
        call: &'static str,
        question: impl AsyncFnOnce(AgentClient) -> Result<T, AgentError>,
    ) -> Result<T, VmError> {
        let failed =
            |source| -> VmError { GuestError::new(row.name.clone(), GuestFailure::NoAnswer(source)).into() };
        let talk = async {
            let machine = self.machine_to_enter(row)?;
            let stream = match machine.connect(CONTROL_PORT, CONNECT_DEADLINE).await {
                Ok(stream) => stream,
                Err(source) => return Err(self.connect_error(row, &machine, source).await),
            };
            let agent = AgentClient::connect(stream).await.map_err(failed)?;
            // Asked at once, not one after the other: one round trip.
            let hello = agent.hello(env!("CARGO_PKG_VERSION"), GUEST_DEADLINE);
            let (_, answer) = tokio::try_join!(hello, question(agent.clone())).map_err(failed)?;
            Ok(answer)
        };
        tokio::time::timeout(GUEST_DEADLINE, talk)
            .await
            .unwrap_or_else(|_elapsed| Err(failed(AgentError::Silent { call, deadline: GUEST_DEADLINE })))
    }

    fn host_stats(&self, row: &VmRow) -> HostFigures {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let at_ms = Duration::try_from(now).unwrap_or_default().as_millis();
        HostFigures {
            at_ms: u64::try_from(at_ms).unwrap_or(u64::MAX),
            machine: self.machines.get(&row.id).and_then(|machine| machine_stats(machine.as_ref())),
            disks: [DriveRole::Overlay, DriveRole::Work]
                .into_iter()
                .filter_map(|role| self.disk_stats(row, role))
                .collect(),
        }
    }

    fn disk_stats(&self, row: &VmRow, role: DriveRole) -> Option<DiskFigures> {
        let file = self.paths.vm(row.id.as_str()).join(format!("{}.ext4", role.as_str()));
        // A VM that is just being made or removed has not got it.
        let metadata = std::fs::metadata(file).ok()?;
        Some(DiskFigures {
            role,
            // `st_blocks` counts in units of 512 bytes, whatever the file system's block is (`stat(3type)`).
            allocated_bytes: metadata.blocks().saturating_mul(512),
            size_bytes: metadata.len(),
        })
    }
}

/// Sums the processes of a machine; `None` when its VMM has just ended.
fn machine_stats(machine: &dyn Machine) -> Option<MachineFigures> {
    let handle = machine.handle();
    let vmm = ProcessIdentity::from(handle.process).usage()?;
    let companions = handle.companions.iter().copied().map(ProcessIdentity::from);
    let companions = companions.flat_map(|process| process.children().into_iter().chain([process]));
    let companions = companions.filter_map(|process| process.usage());
    let (cpu, resident) = companions.fold((vmm.cpu_time, vmm.resident_bytes), |(cpu, resident), usage| {
        (cpu.saturating_add(usage.cpu_time), resident.saturating_add(usage.resident_bytes))
    });
    Some(MachineFigures {
        cpu_ms: u64::try_from(cpu.as_millis()).unwrap_or(u64::MAX),
        resident_bytes: resident,
    })
}
