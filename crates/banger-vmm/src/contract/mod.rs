//! What every VMM driver does, in the words of the product.

mod error;
mod handle;
mod network;
mod plan;
mod snapshot;
mod stats;

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use async_trait::async_trait;
use banger_model::{GuestNetwork, MemoryMib, NetworkTrouble};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub use error::*;
pub use handle::*;
pub use network::*;
pub use plan::*;
pub use snapshot::*;
pub use stats::*;

/// Which VMM runs a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VmmKind {
    /// QEMU's `microvm` machine.
    Qemu,
    /// Firecracker.
    Firecracker,
}

impl std::fmt::Display for VmmKind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Qemu => "QEMU",
            Self::Firecracker => "Firecracker",
        })
    }
}

/// One VMM.
#[async_trait]
pub trait Vmm: Send + Sync {
    /// Which one it is.
    fn kind(&self) -> VmmKind;

    /// Tells how a guest of this driver reaches its network; `None` without one.
    fn guest_network(&self, network: &Network) -> Option<GuestNetwork>;

    /// Returns how much of the host's memory a machine with this memory may take besides, in MiB, where that matters.
    fn memory_beside_guest_mib(&self, memory: MemoryMib) -> u64 {
        let _ = memory;
        0
    }

    /// Starts a machine. The VMM's process is in a session of its own and outlives the caller.
    /// When the future is dropped or fails, no process is left.
    async fn start(&self, plan: &MachinePlan) -> Result<Box<dyn Machine>, StartError>;

    /// Takes over a machine that another process started; `None` when it has ended.
    async fn adopt(&self, handle: &MachineHandle) -> Result<Option<Box<dyn Machine>>, AdoptError>;

    /// Makes a machine from a snapshot. The plan is the one that the snapshot's machine was started with, but for VM,
    /// directories and the files behind its drives. The machine comes up paused, so that whoever wants it can look at it
    /// first; [`Machine::resume`] lets it go.
    /// When the future is dropped or fails, no process is left.
    async fn restore(&self, plan: &MachinePlan, from: &RestorePlan) -> Result<Box<dyn Machine>, StartError> {
        let (_plan, _from) = (plan, from);
        Err(StartError::NoSnapshots { vmm: self.kind() })
    }
}

/// A running machine. Dropping it leaves the machine running.
#[async_trait]
pub trait Machine: Send + Sync {
    /// What is needed to find it again.
    fn handle(&self) -> &MachineHandle;

    /// Tells what its start had to do without, in words.
    fn warnings(&self) -> &[String] {
        &[]
    }

    /// Waits until the machine has ended: an event, for any number of waiters, at any time.
    async fn ended(&self) -> MachineEnd;

    /// Ends the machine at once (SIGKILL) and waits until it is gone, with its companions and sockets.
    async fn kill(&self) -> Result<(), KillError>;

    /// Opens a stream to a port of the guest's agent: connects to the channel socket, sends `CONNECT`, reads `OK`.
    /// Waits until the guest's agent is there, the machine ends or the deadline passes.
    async fn connect(&self, port: u32, deadline: Duration) -> Result<tokio::net::UnixStream, ConnectError>;

    /// Stops the guest's processors where they are. A paused machine stays paused.
    async fn pause(&self) -> Result<(), ControlError> {
        Err(ControlError::NotSupported { vmm: self.handle().vmm, action: "pause the machine" })
    }

    /// Lets a paused guest go on. A running machine runs on. Streams to the guest may be broken by it: see
    /// [`Machine::connect`] for new ones.
    async fn resume(&self) -> Result<(), ControlError> {
        Err(ControlError::NotSupported { vmm: self.handle().vmm, action: "resume the machine" })
    }

    /// Writes the state of a paused machine, which stays paused. Both files are made anew, in directories that exist.
    async fn snapshot(&self, files: &SnapshotFiles, kind: SnapshotKind) -> Result<(), ControlError> {
        let (_files, _kind) = (files, kind);
        Err(ControlError::NotSupported { vmm: self.handle().vmm, action: "take a snapshot" })
    }

    /// Tells whether the guest's processors run, as far as the VMM tells.
    async fn run_state(&self) -> Result<RunState, ControlError> {
        Ok(RunState::Running)
    }

    /// Tells what is wrong with the machine's network, now and from now on; nothing as a rule.
    fn network(&self) -> watch::Receiver<Option<NetworkTrouble>> {
        watch::channel(None).1
    }

    /// Tells what the machine uses and has moved.
    async fn stats(&self) -> Result<MachineStats, ControlError> {
        Err(ControlError::NotSupported { vmm: self.handle().vmm, action: "tell figures" })
    }
}

/// What a machine's processors do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// They run.
    Running,
    /// Somebody has stopped them.
    Paused,
    /// The VMM has stopped them in the middle of a write that the host's disk did not take. [`Machine::resume`] writes
    /// it again. Firecracker does not do this: its guest sees an error of its disk.
    WriteFailed(WriteFailure),
}

/// Why a write of the guest failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteFailure {
    /// The host's disk is full.
    NoSpace,
    /// Another reason.
    Other,
}

/// How a machine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MachineEnd {
    /// Exit status, where it was ours to wait for.
    Exited(i32),
    /// Ended by this signal.
    Signaled(i32),
    /// It ended; an adopted process does not tell how.
    Unknown,
}

impl From<ExitStatus> for MachineEnd {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Exited(code),
            (None, Some(signal)) => Self::Signaled(signal),
            (None, None) => Self::Unknown,
        }
    }
}
