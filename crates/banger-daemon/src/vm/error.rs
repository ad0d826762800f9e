//! Why something could not be done with a VM.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use banger_guest::AgentError;
use banger_model::{BelowFloor, Denied, DiskBytes, KillSignal, PauseReason, VmName, VmRef, VmRefError};
use banger_store::StoreError;
use banger_sys::files::FileError;
use banger_vmm::{ConnectError, KillError, StartError};

use super::ending::Ending;
use crate::boot_source::BootSourceError;
use crate::operation::{Cancelled, KeyReused};
use crate::ssh_keys::KeyError;
use crate::vmm_source::NoVmm;

/// Why something could not be done with a VM.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// The reference means no VM, or several.
    #[error(transparent)]
    Reference(#[from] VmRefError),
    /// The VM is in a state in which this cannot be done.
    #[error("cannot {action} VM `{name}`")]
    Denied {
        /// What was asked.
        action: &'static str,
        /// Of which VM.
        name: VmName,
        /// Why not.
        source: Denied,
    },
    /// Its guest cannot be entered in this state.
    #[error("VM `{name}` is {}", state_words(*state))]
    Closed {
        /// Which.
        name: VmName,
        /// Its state.
        state: Denied,
    },
    /// It has no machine that could get a signal.
    #[error("VM `{name}` is not running, so it was not sent `{}`", signal.as_str())]
    NotSignalled {
        /// Which.
        name: VmName,
        /// The signal.
        signal: KillSignal,
    },
    /// No VMM can run it.
    #[error(transparent)]
    Vmm(NoVmm),
    /// Its kernel or image could not be had.
    #[error(transparent)]
    BootSource(BootSourceError),
    /// Its name or row could not be written.
    #[error(transparent)]
    Store(StoreError),
    /// Its host key could not be made.
    #[error(transparent)]
    Key(KeyError),
    /// Its directory could not be made.
    #[error(transparent)]
    MakeDirectory(FileError),
    /// Its directory could not be tidied up or removed.
    #[error("cannot {action} `{}`", path.display())]
    Directory {
        /// Tidy up or remove.
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its machine did not start.
    #[error("cannot start VM `{name}`")]
    Launch {
        /// Whose.
        name: VmName,
        /// Why.
        source: StartError,
    },
    /// Its guest is not ready, or did not do what was asked of it.
    #[error(transparent)]
    Guest(GuestError),
    /// The disk has no room for what would take more of it.
    #[error(transparent)]
    TooLittleRoom(BelowFloor),
    /// Its machine could not be ended.
    #[error("cannot force VM `{name}` off")]
    Kill {
        /// Whose.
        name: VmName,
        /// Why.
        source: KillError,
    },
    /// Its console log cannot be read.
    #[error("cannot read the console log of VM `{name}`")]
    Console {
        /// Whose.
        name: VmName,
        /// Why.
        source: io::Error,
    },
    /// It was to go with a process that does not run.
    #[error("no process {pid} on this host to bind the VM to")]
    BoundToNobody {
        /// Its number.
        pid: u32,
        /// Why it cannot be seen, where there is more to say.
        source: Option<io::Error>,
    },
    /// Its guest did not get ready, and it was made for one command only. Its text is the failure's: the rest is added at the edge.
    #[error("{0}")]
    Discarded(Box<VmError>),
    /// It was to stop before its end.
    #[error("{0}; nothing is left behind")]
    Cancelled(Cancelled),
    /// The start of a VM that exists was to stop; it is as it was before.
    #[error("{why}; VM `{name}` is stopped")]
    StartCancelled {
        /// On whose wish.
        why: Cancelled,
        /// Which.
        name: VmName,
    },
    /// A removal of it has begun and did not end.
    #[error("VM `{name}` is being deleted")]
    BeingDeleted {
        /// Which.
        name: VmName,
    },
    /// It was to be removed only if it had no machine.
    #[error("VM `{name}` is not stopped")]
    NotStopped {
        /// Which.
        name: VmName,
    },
    /// A change was asked for, and nothing to change.
    #[error("nothing to change for VM `{name}`")]
    NothingToChange {
        /// Which.
        name: VmName,
    },
    /// A disk cannot become smaller without losing what is on it.
    #[error("cannot shrink {disk} of VM `{name}` from {is} to {wanted}")]
    DiskShrinks {
        /// Whose.
        name: VmName,
        /// Where the guest has it: `/` or `/root`.
        disk: &'static str,
        /// What it has.
        is: DiskBytes,
        /// What was asked for.
        wanted: DiskBytes,
    },
    /// A disk's file could not be made longer.
    #[error("cannot grow the disk `{}`", path.display())]
    GrowDisk {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A key came again with another request.
    #[error(transparent)]
    KeyReused(KeyReused),
    /// It failed, and so did putting things back. Its text is the first failure's: the rest is added at the edge.
    #[error("{first}")]
    Undo {
        /// What failed first.
        first: Box<VmError>,
        /// What could not be put back.
        undo: Vec<VmError>,
    },
}

/// A guest that is not ready, or did not do what was asked of it.
#[derive(Debug)]
pub struct GuestError {
    /// Whose.
    pub name: VmName,
    /// Last lines of its console, where they may tell more.
    pub console: Vec<String>,
    /// What it did instead.
    pub why: GuestFailure,
}

/// What a guest did instead of what it was to do.
#[derive(Debug)]
pub enum GuestFailure {
    /// It never answered.
    Silent {
        /// What it was given.
        deadline: Duration,
    },
    /// Its machine ended before it was ready.
    Ended(Ending),
    /// Its agent refused or broke off.
    Failed(AgentError),
    /// A service of its image does not come; the VM runs on.
    PortSilent {
        /// Where it was to listen.
        port: u16,
        /// What all ports of the image were given.
        deadline: Duration,
    },
    /// There is no stream to it.
    Unreachable(ConnectError),
    /// It gave no answer to a question.
    NoAnswer(AgentError),
    /// It stands still, and takes nothing until there is room.
    Paused(PauseReason),
    /// It stood still before it was ready, and nothing makes room: its machine is ended.
    PausedAtBoot(PauseReason),
}

impl GuestError {
    /// An error about which the console tells no more.
    pub(super) fn new(name: VmName, why: GuestFailure) -> Self {
        Self { name, console: Vec::new(), why }
    }
}

impl std::fmt::Display for GuestError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, why, .. } = self;
        match why {
            GuestFailure::Silent { deadline } => {
                write!(formatter, "the guest of VM `{name}` did not answer within {} s", deadline.as_secs())
            }
            GuestFailure::Ended(ending) => {
                write!(formatter, "the guest of VM `{name}` ended before it was ready ({ending})")
            }
            GuestFailure::Failed(_) => write!(formatter, "the guest of VM `{name}` did not become ready"),
            GuestFailure::PortSilent { port, deadline } => write!(
                formatter,
                "nothing listens on port {port} of VM `{name}` after {} s; the VM keeps running",
                deadline.as_secs()
            ),
            GuestFailure::Unreachable(_) => write!(formatter, "cannot reach the guest of VM `{name}`"),
            GuestFailure::NoAnswer(_) => write!(formatter, "cannot query the guest of VM `{name}`"),
            GuestFailure::Paused(reason) => write!(
                formatter,
                "the guest of VM `{name}` is paused ({reason}); it resumes when the disk accepts writes"
            ),
            GuestFailure::PausedAtBoot(reason) => {
                write!(formatter, "VM `{name}` did not start: its guest was paused ({reason})")
            }
        }
    }
}

impl std::error::Error for GuestError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.why {
            GuestFailure::Failed(source) | GuestFailure::NoAnswer(source) => Some(source),
            GuestFailure::Unreachable(source) => Some(source),
            GuestFailure::Silent { .. }
            | GuestFailure::Ended(_)
            | GuestFailure::PortSilent { .. }
            | GuestFailure::Paused(_)
            | GuestFailure::PausedAtBoot(_) => None,
        }
    }
}

impl From<GuestError> for VmError {
    fn from(error: GuestError) -> Self {
        Self::Guest(error)
    }
}

fn state_words(state: Denied) -> &'static str {
    match state {
        Denied::NotRunning => "not running",
        Denied::AlreadyRunning => "already running",
        Denied::IsStarting => "starting",
        Denied::IsStopping => "stopping",
    }
}

impl From<Cancelled> for VmError {
    fn from(why: Cancelled) -> Self {
        Self::Cancelled(why)
    }
}

impl VmError {
    /// Returns the error for a VM that does not exist any more.
    pub(super) fn missing(typed: &str) -> Self {
        Self::Reference(VmRefError::Missing { typed: VmRef::from(typed) })
    }

    /// Tells whether the VM runs although something failed: its guest takes commands.
    pub(super) fn leaves_vm_running(&self) -> bool {
        matches!(
            self,
            Self::Guest(GuestError { why: GuestFailure::PortSilent { .. } | GuestFailure::Paused(_), .. })
        )
    }

    /// Tells whether the guest is to blame: then a new VM is kept, so that its console can be read.
    pub(super) fn is_of_guest(&self) -> bool {
        let Self::Guest(GuestError { why, .. }) = self else { return false };
        matches!(
            why,
            GuestFailure::Silent { .. }
                | GuestFailure::Ended(_)
                | GuestFailure::Failed(_)
                | GuestFailure::Unreachable(_)
        )
    }
}
