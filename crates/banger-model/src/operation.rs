//! Long work: what it does, and how far it is.

use serde::{Deserialize, Serialize};

use crate::words::words;

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum OperationKind {
    /// Makes a VM, and starts it unless told not to.
    VmCreate,
    /// Starts a VM.
    VmStart,
    /// Stops a VM.
    VmStop,
    /// Stops and starts a VM.
    VmRestart,
    /// Ends a VM's machine at once.
    VmKill,
    /// Starts a VM again whose guest has rebooted.
    VmReboot,
    /// Removes a VM with its disks.
    VmDelete,
    /// Changes a VM's sizes or its time to live.
    VmSet,
    /// Begins a VM's time to live anew.
    VmTouch,
    /// Gets a kernel.
    KernelPull,
    /// Makes a kernel out of what is on the host.
    KernelImport,
    /// Removes a kernel.
    KernelDelete,
    /// Gets an image.
    ImagePull,
    /// Records files of the host as an image.
    ImageRegister,
    /// Gives a registered image files of its own.
    ImagePromote,
    /// Removes an image.
    ImageDelete,
    /// Makes a bundle of an image.
    ImageBundle,
}

words! {
    OperationKind {
        VmCreate = "vm_create",
        VmStart = "vm_start",
        VmStop = "vm_stop",
        VmRestart = "vm_restart",
        VmKill = "vm_kill",
        VmReboot = "vm_reboot",
        VmDelete = "vm_delete",
        VmSet = "vm_set",
        VmTouch = "vm_touch",
        KernelPull = "kernel_pull",
        KernelImport = "kernel_import",
        KernelDelete = "kernel_delete",
        ImagePull = "image_pull",
        ImageRegister = "image_register",
        ImagePromote = "image_promote",
        ImageDelete = "image_delete",
        ImageBundle = "image_bundle",
    }
}

/// How far an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum OperationState {
    /// At work.
    Running,
    /// Told to stop: it undoes what it has made.
    Cancelling,
    /// Done.
    Succeeded,
    /// Failed; what it had made is undone, unless the error says otherwise.
    Failed,
    /// Stopped on request; what it had made is undone.
    Cancelled,
}

words! {
    OperationState {
        Running = "running",
        Cancelling = "cancelling",
        Succeeded = "succeeded",
        Failed = "failed",
        Cancelled = "cancelled",
    }
}

impl OperationState {
    /// Tells whether nothing more will happen.
    #[must_use]
    pub fn is_final(self) -> bool {
        match self {
            Self::Running | Self::Cancelling => false,
            Self::Succeeded | Self::Failed | Self::Cancelled => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_operation_does_and_how_far_it_is_are_sent_under_the_words_of_its_events() {
        for kind in OperationKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        for state in OperationState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
    }
}
