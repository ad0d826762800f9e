//! What a client is told of a failure around a VM.

use banger_api::ErrorCode;
use banger_guest::AgentError;
use banger_model::{BelowFloor, Denied, PauseReason};
use banger_store::StoreError;
use banger_sys::shortage;
use banger_vmm::StartError;

use super::{ENTER, GuestError, VmError};
use crate::fault::{Fault, chain};
use crate::vmm_choice;
use crate::vmm_source::NoVmm;

impl Fault for VmError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound { .. } => ErrorCode::NotFound,
            Self::Ambiguous { .. }
            | Self::NothingToChange { .. }
            | Self::BoundToNobody { .. }
            | Self::KeyReused(_) => ErrorCode::BadRequest,
            Self::Denied { source: Denied::NotRunning | Denied::IsStarting | Denied::IsStopping, .. }
            | Self::BeingDeleted { .. } => ErrorCode::NotRunning,
            Self::Denied { source: Denied::AlreadyRunning, .. }
            | Self::NotStopped { .. }
            | Self::DiskShrinks { .. } => ErrorCode::Conflict,
            Self::Image(source) => source.code(),
            Self::BootSource(source) => source.code(),
            Self::Store(StoreError::NameTaken { .. }) => ErrorCode::AlreadyExists,
            Self::Cancelled | Self::StartCancelled { .. } => ErrorCode::Cancelled,
            Self::Discarded(first) => first.code(),
            // `cancelled` promises that nothing is left.
            Self::Undo { first, .. } => match first.code() {
                ErrorCode::Cancelled => ErrorCode::OperationFailed,
                code => code,
            },
            Self::Vmm(_)
            | Self::Store(_)
            | Self::Key(_)
            | Self::Directory { .. }
            | Self::GrowDisk { .. }
            | Self::Launch { .. }
            | Self::PortSilent { .. }
            | Self::Guest(_)
            | Self::Connect { .. }
            | Self::Ask { .. }
            | Self::Paused { .. }
            | Self::TooLittleRoom(_)
            | Self::Kill { .. }
            | Self::Console { .. } => ErrorCode::OperationFailed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound { .. } | Self::Ambiguous { .. } => Some("banger vm list".to_owned()),
            Self::Denied { name, source, action } => match source {
                Denied::NotRunning if *action == ENTER => Some(format!("banger vm start {name}")),
                Denied::NotRunning => Some(format!("banger vm show {name}")),
                Denied::AlreadyRunning => Some(format!("banger vm exec {name} -- <command>")),
                // A start waits for the work that is in its way.
                Denied::IsStarting | Denied::IsStopping => Some(format!("banger vm start {name}")),
            },
            Self::Vmm(NoVmm(error)) => vmm_choice::hint(error),
            Self::Image(source) => source.hint(),
            Self::BootSource(source) => source.hint(),
            Self::Store(StoreError::NameTaken { name }) => Some(format!("banger vm show {name}")),
            Self::Launch { source: StartError::Missing { package, .. }, .. } => {
                Some(format!("sudo apt-get install {package}"))
            }
            Self::Launch { .. } | Self::Kill { .. } => Some("banger doctor".to_owned()),
            Self::Guest(GuestError { name, .. }) => Some(format!("banger vm logs {name}")),
            Self::PortSilent { name, .. } => Some(format!("banger vm exec {name}")),
            Self::Paused { reason: PauseReason::HostDiskFull, .. } | Self::TooLittleRoom(_) => {
                Some(BelowFloor::HINT.to_owned())
            }
            Self::Paused { name, reason: PauseReason::HostDiskError } => {
                Some(format!("banger vm show {name}"))
            }
            Self::Connect { source, .. } if shortage::is_shortage(source) => Some("banger doctor".to_owned()),
            // It may only be busy: what would end its work is the user's own idea.
            Self::Connect { name, .. } => Some(format!("banger vm logs {name}")),
            Self::Ask { source: AgentError::Outdated { .. }, .. } => {
                Some("restart the VM to update its agent".to_owned())
            }
            Self::Ask { name, .. } => Some(format!("banger vm logs {name}")),
            Self::StartCancelled { name } => Some(format!("banger vm start {name}")),
            Self::BeingDeleted { name } => Some(format!("banger vm delete {name}")),
            Self::NotStopped { name } => Some(format!("banger vm stop {name}")),
            Self::NothingToChange { .. } => Some("banger vm set --help".to_owned()),
            Self::DiskShrinks { name, .. } => Some(format!("banger vm show {name}")),
            Self::KeyReused(_) => Some("use another key for another request".to_owned()),
            Self::Undo { first, .. } => first.hint(),
            Self::Discarded(_) => Some("run it without --rm to keep the VM and its log".to_owned()),
            Self::Store(_)
            | Self::Key(_)
            | Self::Directory { .. }
            | Self::GrowDisk { .. }
            | Self::Console { .. }
            | Self::BoundToNobody { .. }
            | Self::Cancelled => None,
        }
    }

    fn console(&self) -> Vec<String> {
        match self {
            Self::Guest(GuestError { console, .. }) => console.clone(),
            Self::Undo { first, .. } | Self::Discarded(first) => first.console(),
            Self::NotFound { .. }
            | Self::Ambiguous { .. }
            | Self::Denied { .. }
            | Self::Vmm(_)
            | Self::Image(_)
            | Self::BootSource(_)
            | Self::Store(_)
            | Self::Key(_)
            | Self::Directory { .. }
            | Self::Launch { .. }
            | Self::PortSilent { .. }
            | Self::Connect { .. }
            | Self::Ask { .. }
            | Self::Paused { .. }
            | Self::TooLittleRoom(_)
            | Self::Kill { .. }
            | Self::Console { .. }
            | Self::StartCancelled { .. }
            | Self::BeingDeleted { .. }
            | Self::NotStopped { .. }
            | Self::NothingToChange { .. }
            | Self::DiskShrinks { .. }
            | Self::GrowDisk { .. }
            | Self::KeyReused(_)
            | Self::BoundToNobody { .. }
            | Self::Cancelled => Vec::new(),
        }
    }

    fn message(&self) -> String {
        let (first, undo) = match self {
            Self::Undo { first, undo } => (first, undo),
            Self::Discarded(first) => return format!("{}; the VM is deleted", first.message()),
            other => return chain(other),
        };
        let left: Vec<String> = undo.iter().map(Fault::message).collect();
        let left = left.join("; ");
        match first.code() {
            ErrorCode::Cancelled => format!("cancelled, but something is left behind: {left}"),
            _ => format!("{}; something is left behind: {left}", first.message()),
        }
    }
}
