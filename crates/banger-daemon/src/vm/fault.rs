//! What a client is told of a failure around a VM.

use banger_guest::AgentError;
use banger_model::{Denied, ErrorCode, Hint, PauseReason, VmRefError};
use banger_store::StoreError;
use banger_sys::full_disk::ran_out_of_space;
use banger_sys::shortage;
use banger_vmm::{ConnectError, StartError};

use super::{GuestError, GuestFailure, VmError};
use crate::boot_source::BootSourceError;
use crate::fault::{Fault, chain};
use crate::vmm_choice;
use crate::vmm_source::NoVmm;

impl Fault for VmError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Reference(VmRefError::Missing { .. }) => ErrorCode::NotFound,
            Self::Reference(VmRefError::Ambiguous { .. }) => ErrorCode::Conflict,
            Self::NothingToChange { .. } | Self::BoundToNobody { .. } | Self::KeyReused(_) => {
                ErrorCode::BadRequest
            }
            Self::Denied { source: Denied::NotRunning | Denied::IsStarting | Denied::IsStopping, .. }
            | Self::Closed { .. }
            | Self::NotSignalled { .. }
            | Self::BeingDeleted { .. } => ErrorCode::NotRunning,
            Self::Denied { source: Denied::AlreadyRunning, .. }
            | Self::NotStopped { .. }
            | Self::DiskShrinks { .. } => ErrorCode::Conflict,
            Self::BootSource(source) => source.code(),
            Self::Store(StoreError::NameTaken { .. }) => ErrorCode::AlreadyExists,
            Self::Cancelled(_) | Self::StartCancelled { .. } => ErrorCode::Cancelled,
            Self::Discarded(first) => first.code(),
            // `cancelled` promises that nothing is left.
            Self::Undo { first, .. } => match first.code() {
                ErrorCode::Cancelled => ErrorCode::OperationFailed,
                code => code,
            },
            Self::Vmm(_)
            | Self::Store(_)
            | Self::Key(_)
            | Self::MakeDirectory(_)
            | Self::Directory { .. }
            | Self::GrowDisk { .. }
            | Self::Launch { .. }
            | Self::Guest(_)
            | Self::TooLittleRoom(_)
            | Self::Kill { .. }
            | Self::Console { .. } => ErrorCode::OperationFailed,
        }
    }

    fn hint(&self) -> Option<Hint> {
        let is_of_pull =
            matches!(self, Self::BootSource(BootSourceError::Pull(_) | BootSourceError::PullBare(_)));
        if !is_of_pull && ran_out_of_space(self) {
            return Some(Hint::FreeSpace);
        }
        match self {
            Self::Reference(_) => Some(Hint::ListVms),
            Self::Closed { name, state } => match state {
                // A start waits for the end of a stop.
                Denied::NotRunning | Denied::IsStopping => Some(Hint::StartVm { vm: name.to_string() }),
                // Its state says when it can be entered.
                Denied::IsStarting | Denied::AlreadyRunning => Some(Hint::ShowVm { vm: name.to_string() }),
            },
            Self::Denied { name, source, .. } => match source {
                Denied::NotRunning => Some(Hint::ShowVm { vm: name.to_string() }),
                Denied::AlreadyRunning => Some(Hint::RunInVm { vm: name.to_string() }),
                Denied::IsStarting | Denied::IsStopping => Some(Hint::StartVm { vm: name.to_string() }),
            },
            Self::Vmm(NoVmm(error)) => vmm_choice::hint(error),
            Self::BootSource(source) => source.hint(),
            Self::Store(StoreError::NameTaken { name }) => Some(Hint::ShowVm { vm: name.to_string() }),
            Self::Launch { source: StartError::Missing { package, .. }, .. } => Some(Hint::install(*package)),
            Self::Launch { .. } | Self::Kill { .. } => Some(Hint::ExamineHost),
            Self::Guest(error) => Some(guest_hint(error)),
            Self::TooLittleRoom(_) => Some(Hint::FreeSpace),
            Self::StartCancelled { name, .. } => Some(Hint::StartVm { vm: name.to_string() }),
            Self::BeingDeleted { name } => Some(Hint::DeleteVm { vm: name.to_string() }),
            Self::NotSignalled { name, .. } => Some(Hint::ShowVm { vm: name.to_string() }),
            Self::NotStopped { name } => Some(Hint::StopVm { vm: name.to_string() }),
            Self::NothingToChange { .. } => Some(Hint::NameVmChange),
            Self::DiskShrinks { name, .. } => Some(Hint::ShowVm { vm: name.to_string() }),
            Self::KeyReused(_) => Some(Hint::advice("use another key for another request")),
            Self::Undo { first, .. } => first.hint(),
            Self::Discarded(_) => Some(Hint::KeepVm),
            Self::Store(_)
            | Self::Key(_)
            | Self::MakeDirectory(_)
            | Self::Directory { .. }
            | Self::GrowDisk { .. }
            | Self::Console { .. }
            | Self::BoundToNobody { .. } => None,
            Self::Cancelled(why) => why.hint(),
        }
    }

    fn console(&self) -> Vec<String> {
        let mut error = self;
        while let Self::Undo { first, .. } | Self::Discarded(first) = error {
            error = first;
        }
        if let Self::Guest(GuestError { console, .. }) = error { console.clone() } else { Vec::new() }
    }

    fn message(&self) -> String {
        let (first, undo) = match self {
            Self::Undo { first, undo } => (first, undo),
            Self::Discarded(first) => return format!("{}; the VM is deleted", first.message()),
            other => return chain(other),
        };
        let left: Vec<String> = undo.iter().map(Fault::message).collect();
        let left = left.join("; ");
        match &**first {
            Self::Cancelled(why) | Self::StartCancelled { why, .. } => {
                format!("{why}, but something is left behind: {left}")
            }
            first => format!("{}; something is left behind: {left}", first.message()),
        }
    }
}

fn guest_hint(error: &GuestError) -> Hint {
    let vm = error.name.to_string();
    match &error.why {
        GuestFailure::PortSilent { .. } => Hint::EnterVm { vm },
        GuestFailure::Paused(PauseReason::HostDiskFull)
        | GuestFailure::PausedAtBoot(PauseReason::HostDiskFull) => Hint::FreeSpace,
        GuestFailure::PausedAtBoot(PauseReason::HostDiskError) => Hint::ExamineHost,
        GuestFailure::Paused(PauseReason::HostDiskError) => Hint::ShowVm { vm },
        GuestFailure::Unreachable(ConnectError::SocketRemoved { .. }) => Hint::advice(
            "run `banger daemon stop`: the next command makes the socket again; if it cannot, restart the VM",
        ),
        GuestFailure::Unreachable(source) if shortage::is_shortage(source) => Hint::ExamineHost,
        GuestFailure::NoAnswer(AgentError::Outdated { .. }) => Hint::UpdateAgent { vm },
        // It may only be busy: what would end its work is the user's own idea.
        GuestFailure::Unreachable(_)
        | GuestFailure::NoAnswer(_)
        | GuestFailure::Silent { .. }
        | GuestFailure::Ended(_)
        | GuestFailure::Failed(_) => Hint::ReadVmLog { vm },
    }
}
