//! From our errors to those that travel: code, the whole chain of causes in one line, and the next command to type.

use std::error::Error;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use banger_api::{ErrorBody, ErrorCode};
use banger_guest::AgentError;
use banger_image::{BundlePullError, PackError, PromoteError, PullError};
use banger_model::{BelowFloor, Denied, PauseReason};
use banger_store::StoreError;
use banger_sys::shortage;
use banger_vmm::StartError;
use tracing::info;

use crate::boot_source::{BootSourceError, PullBareError};
use crate::cause::chain;
use crate::image::{ImageOperationError, KernelOperationError};
use crate::operation::current_id;
use crate::vm::{ENTER, VmError};
use crate::vmm_choice;
use crate::vmm_source::NoVmm;

/// An error that can travel.
pub trait Fault: Error + Sized + 'static {
    /// Its kind.
    fn code(&self) -> ErrorCode;

    /// The next command to type.
    fn hint(&self) -> Option<String>;

    /// What failed, on what, and why, in one line.
    fn message(&self) -> String {
        chain(self)
    }

    /// Last lines of the guest's console, where they tell more.
    fn console(&self) -> Vec<String> {
        Vec::new()
    }

    /// Returns it as it travels.
    fn to_body(&self) -> ErrorBody {
        ErrorBody {
            code: self.code(),
            message: self.message(),
            hint: self.hint(),
            op_id: None,
            console: self.console(),
        }
    }
}

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
            | Self::GuestSilent { .. }
            | Self::GuestEnded { .. }
            | Self::GuestFailed { .. }
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
            Self::GuestSilent { name, .. }
            | Self::GuestEnded { name, .. }
            | Self::GuestFailed { name, .. } => Some(format!("banger vm logs {name}")),
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
            Self::GuestSilent { console, .. }
            | Self::GuestEnded { console, .. }
            | Self::GuestFailed { console, .. } => console.clone(),
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

impl Fault for BootSourceError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Pull(source) | Self::PullBare(PullBareError { source, .. }) => pull_code(source),
            Self::Disk(_) | Self::File(_) | Self::Worker(_) | Self::AgentMissing { .. } => {
                ErrorCode::OperationFailed
            }
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Pull(source) => source.hint(),
            Self::PullBare(PullBareError { name, .. }) => {
                Some(format!("to run `{name}` as a command: banger run -- {name}"))
            }
            Self::Disk(source) => source.hint(),
            Self::File(_) | Self::Worker(_) | Self::AgentMissing { .. } => None,
        }
    }
}

impl Fault for KernelOperationError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Name(_) | Self::Refused(_) => ErrorCode::BadRequest,
            Self::NotFound { .. } => ErrorCode::NotFound,
            Self::Pull(source) => pull_code(source),
            Self::Store(_) | Self::Rows(_) | Self::Worker(_) => ErrorCode::OperationFailed,
            Self::Cancelled => ErrorCode::Cancelled,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound { .. } => Some("banger kernel list --all".to_owned()),
            Self::Refused(source) => source.hint(),
            Self::Pull(source) => source.hint(),
            Self::Store(source) => source.hint(),
            Self::Name(_) | Self::Rows(_) | Self::Worker(_) | Self::Cancelled => None,
        }
    }
}

impl Fault for ImageOperationError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Source(_)
            | Self::Location(_)
            | Self::MinisignKey(_)
            | Self::NoName { .. }
            | Self::TwoImages
            | Self::TwoKernels
            | Self::NoKernel
            | Self::NoKernelFile
            | Self::KernelName(_)
            | Self::KernelFiles(_)
            | Self::Register(_)
            | Self::Pack(PackError::NoDirectory { .. })
            | Self::OfCatalog { .. } => ErrorCode::BadRequest,
            Self::NotHere { .. } | Self::NotFound { .. } => ErrorCode::NotFound,
            Self::Pull(source) => pull_code(source),
            Self::Pack(PackError::Exists { .. }) => ErrorCode::AlreadyExists,
            Self::Store(_) | Self::Cache(_) | Self::Pack(_) | Self::Worker(_) | Self::Rows(_) => {
                ErrorCode::OperationFailed
            }
            Self::Cancelled => ErrorCode::Cancelled,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Pull(source) => source.hint(),
            Self::Store(source) => source.hint(),
            Self::NoName { source_text, .. } => {
                Some(format!("banger image pull {source_text} --name <name>"))
            }
            Self::OfCatalog { name } => Some(format!("banger image pull {name}")),
            Self::NotHere { .. } | Self::NotFound { .. } => Some("banger image list --all".to_owned()),
            Self::NoKernel => Some("banger kernel list --all".to_owned()),
            Self::Register(source) => source.hint(),
            Self::KernelFiles(source) => source.hint(),
            Self::Pack(source) => source.hint(),
            Self::Source(_)
            | Self::Location(_)
            | Self::MinisignKey(_)
            | Self::TwoImages
            | Self::TwoKernels
            | Self::NoKernelFile
            | Self::KernelName(_)
            | Self::Worker(_)
            | Self::Rows(_)
            | Self::Cache(_)
            | Self::Cancelled => None,
        }
    }
}

fn pull_code(error: &PullError) -> ErrorCode {
    match error {
        PullError::NotInCatalog { .. } | PullError::NotHere { .. } => ErrorCode::NotFound,
        PullError::AlreadyPulled { .. } | PullError::NameTaken { .. } => ErrorCode::AlreadyExists,
        PullError::InUse { .. } => ErrorCode::Conflict,
        PullError::NameOfCatalog { .. }
        | PullError::OtherSource { .. }
        | PullError::Promote { source: PromoteError::Managed { .. }, .. } => ErrorCode::BadRequest,
        PullError::Bundle { source, .. } if matches!(**source, BundlePullError::Unchecked) => {
            ErrorCode::BadRequest
        }
        PullError::Import { source, .. } if !source.is_failure() => ErrorCode::BadRequest,
        PullError::Import { .. }
        | PullError::Remove { .. }
        | PullError::Users { .. }
        | PullError::Register { .. }
        | PullError::Promote { .. }
        | PullError::Local { .. }
        | PullError::TooLittleSpace { .. }
        | PullError::DiskFull { .. }
        | PullError::Kernel { .. }
        | PullError::Image { .. }
        | PullError::Oci { .. }
        | PullError::Bundle { .. }
        | PullError::Refresh { .. }
        | PullError::Publish { .. } => ErrorCode::OperationFailed,
    }
}

/// An error as a response.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) ErrorBody);

impl<F: Fault> From<F> for Refusal {
    fn from(fault: F) -> Self {
        Self(fault.to_body())
    }
}

impl IntoResponse for Refusal {
    fn into_response(mut self) -> Response {
        if let Some(id) = current_id() {
            info!(op = id, error = self.0.message, "refused");
            self.0.op_id.get_or_insert(id);
        }
        let status = StatusCode::from_u16(self.0.code.http_status());
        (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), Json(self.0)).into_response()
    }
}
