//! What a running machine does.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use async_trait::async_trait;
use banger_model::{DiskTrouble, LostSocket, NetworkTrouble};
use tokio::sync::watch;

use super::{
    ConnectError, ControlError, KillError, MachineHandle, MachineStats, SnapshotFiles, SnapshotKind,
};

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

    /// Tells whether writes of the guest have failed, now and from now on; nothing as a rule. A VMM that pauses its guest
    /// instead tells so by [`Machine::run_state`].
    fn disk(&self) -> watch::Receiver<Option<DiskTrouble>> {
        watch::channel(None).1
    }

    /// Returns a socket of the machine that somebody has removed: of several, the one that matters most.
    fn lost_socket(&self) -> Option<LostSocket> {
        None
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
    /// it again. Firecracker does not do this: see [`Machine::disk`].
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
