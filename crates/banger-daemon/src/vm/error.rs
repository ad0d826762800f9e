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
    /// Its guest did not get ready; the VM is kept.
    #[error(transparent)]
    Guest(GuestError),
    /// A service of its image does not come; the VM runs on.
    #[error("nothing listens on port {port} of VM `{name}` after {} s; the VM keeps running", .deadline.as_secs())]
    PortSilent {
        /// Whose.
        name: VmName,
        /// Which.
        port: u16,
        /// What all ports of the image were given.
        deadline: Duration,
    },
    /// No stream to its guest.
    #[error("cannot reach the guest of VM `{name}`")]
    Connect {
        /// Whose.
        name: VmName,
        /// Why.
        source: ConnectError,
    },
    /// Its guest gave no answer to a question.
    #[error("cannot query the guest of VM `{name}`")]
    Ask {
        /// Whose.
        name: VmName,
        /// Why.
        source: AgentError,
    },
    /// Its guest stands still, and takes nothing until there is room.
    #[error("the guest of VM `{name}` is paused ({reason}); it resumes when the disk accepts writes")]
    Paused {
        /// Whose.
        name: VmName,
        /// Why.
        reason: PauseReason,
    },
    /// Its guest stood still before it was ready, and nothing makes room: its machine is ended.
    #[error("VM `{name}` did not start: its guest was paused ({reason})")]
    PausedAtBoot {
        /// Whose.
        name: VmName,
        /// Why.
        reason: PauseReason,
    },
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

/// A guest that did not get ready.
#[derive(Debug)]
pub struct GuestError {
    /// Whose.
    pub name: VmName,
    /// Last lines of its console.
    pub console: Vec<String>,
    /// What it did instead.
    pub why: GuestFailure,
}

/// What a guest does that does not get ready.
#[derive(Debug, thiserror::Error)]
pub enum GuestFailure {
    /// It never answered.
    #[error("did not answer within {} s", .deadline.as_secs())]
    Silent {
        /// What it was given.
        deadline: Duration,
    },
    /// Its machine ended before.
    #[error("ended before it was ready ({0})")]
    Ended(Ending),
    /// Its agent refused or broke off.
    #[error("did not become ready")]
    Failed {
        /// Why.
        source: AgentError,
    },
}

impl std::fmt::Display for GuestError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "the guest of VM `{}` {}", self.name, self.why)
    }
}

/// The failure is a part of the sentence: its own cause is the next one.
impl std::error::Error for GuestError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.why.source()
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
        matches!(self, Self::PortSilent { .. } | Self::Paused { .. })
    }

    /// Tells whether the guest is to blame: then a new VM is kept, so that its console can be read.
    pub(super) fn is_of_guest(&self) -> bool {
        matches!(self, Self::Guest(_) | Self::Connect { .. })
    }
}
