//! What can go wrong with a machine.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_model::VmId;

use super::VmmKind;

/// Why a machine did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The VMM is not installed.
    #[error("the program `{program}` is not installed")]
    Missing {
        /// Its name.
        program: &'static str,
        /// Debian package that has it.
        package: &'static str,
    },
    /// The plan cannot be carried out by this driver.
    #[error("the VM cannot be built: {reason}")]
    BadPlan {
        /// What is wrong with it.
        reason: String,
    },
    /// A file of the machine could not be prepared.
    #[error("cannot prepare `{}`", path.display())]
    Prepare {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The host's own addresses, which are closed to a guest, are unknown.
    #[error("cannot list this host's own addresses, so a guest cannot be kept away from them")]
    HostAddresses {
        /// Why.
        source: io::Error,
    },
    /// The process could not be started.
    #[error("cannot start `{program}`")]
    Spawn {
        /// Which program.
        program: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The process ended before the machine ran.
    #[error("`{program}` exited immediately{}", if .stderr.is_empty() { String::new() } else { format!(": {}", .stderr) })]
    Refused {
        /// Which program.
        program: &'static str,
        /// What it said.
        stderr: String,
    },
    /// The program is too old to be driven.
    #[error("`{program}` is version {found}; at least {minimum} is needed")]
    TooOld {
        /// Which program.
        program: &'static str,
        /// Its version.
        found: String,
        /// The oldest that works.
        minimum: &'static str,
    },
    /// The VMM refused a part of the machine.
    #[error("`{program}` refuses the {part}: {reason}")]
    PartRefused {
        /// Which program.
        program: &'static str,
        /// Which part of the machine.
        part: String,
        /// What it said.
        reason: String,
    },
    /// The VMM's control socket is of no use.
    #[error("cannot configure `{program}`")]
    Control {
        /// Which program.
        program: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// This driver cannot make a machine from a snapshot.
    #[error("{vmm} cannot restore a snapshot; only Firecracker can")]
    NoSnapshots {
        /// Which driver.
        vmm: VmmKind,
    },
    /// The process did not get ready in time.
    #[error("`{program}` was not ready within {} s", .deadline.as_secs())]
    NotReady {
        /// Which program.
        program: &'static str,
        /// What it was given.
        deadline: Duration,
    },
}

impl StartError {
    /// Returns what says that this file could not be prepared.
    pub(crate) fn preparing(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        |source| Self::Prepare { path, source }
    }
}

/// Why a machine could not be taken over.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// The handle is of a format that this version does not know.
    #[error("the machine's handle has format {found}; this version supports {known}")]
    UnknownFormat {
        /// Its format.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// Its process or sockets could not be opened.
    #[error("cannot take over the machine of VM `{vm}`")]
    Open {
        /// Whose.
        vm: VmId,
        /// Why.
        source: io::Error,
    },
}

/// Why a machine could not be ended.
#[derive(Debug, thiserror::Error)]
pub enum KillError {
    /// The signal could not be sent.
    #[error("cannot end process {pid}")]
    Signal {
        /// Its process id.
        pid: u32,
        /// Why.
        source: io::Error,
    },
    /// It is still there.
    #[error("process {pid} did not end within {} s", .deadline.as_secs())]
    StillAlive {
        /// Its process id.
        pid: u32,
        /// What it was given.
        deadline: Duration,
    },
}

/// Why no stream to the guest could be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The machine ended.
    #[error("the machine has ended")]
    MachineEnded,
    /// The guest's agent did not answer.
    #[error("the guest did not answer within {} s", .deadline.as_secs_f32())]
    Silent {
        /// What it was given.
        deadline: Duration,
    },
    /// The guest's agent is there, but not on this port.
    #[error("the guest does not listen on port {port}")]
    Refused {
        /// Which port.
        port: u32,
    },
    /// Somebody has removed the channel's socket.
    #[error("the socket `{}` was removed", path.display())]
    SocketRemoved {
        /// Where it was.
        path: PathBuf,
    },
    /// The channel broke.
    #[error("the guest channel failed")]
    Channel(#[source] io::Error),
}

/// Why a running machine did not do as it was told.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The driver cannot do it.
    #[error("{vmm} cannot {action}; only Firecracker can")]
    NotSupported {
        /// Which driver.
        vmm: VmmKind,
        /// What it cannot do.
        action: &'static str,
    },
    /// The machine ended.
    #[error("cannot {action}: the machine has ended")]
    MachineEnded {
        /// What was wanted.
        action: &'static str,
    },
    /// The VMM did not answer.
    #[error("cannot {action}: {vmm} did not answer within {} s", .deadline.as_secs_f32())]
    Silent {
        /// Which driver.
        vmm: VmmKind,
        /// What was wanted.
        action: &'static str,
        /// What it was given.
        deadline: Duration,
    },
    /// The VMM refused.
    #[error("{vmm} refuses to {action}: {reason}")]
    Refused {
        /// Which driver.
        vmm: VmmKind,
        /// What was wanted.
        action: &'static str,
        /// What it said.
        reason: String,
    },
    /// A file of the machine could not be read or written.
    #[error("cannot {action}: cannot read or write `{}`", path.display())]
    File {
        /// What was wanted.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The way to the VMM is of no use.
    #[error("cannot {action}: the control socket of {vmm} failed")]
    Broken {
        /// Which driver.
        vmm: VmmKind,
        /// What was wanted.
        action: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
