//! Long work, as clients see it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ErrorBody;

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
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

/// How far an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
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

/// An operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OperationView {
    /// Identity: in every log line and error of its course.
    pub id: String,
    /// What it does.
    pub kind: OperationKind,
    /// What it does it to: the name of a VM, image or kernel.
    pub target: String,
    /// How far it is.
    pub state: OperationState,
    /// Grows with each change; give it as `after` to wait for the next.
    pub revision: u64,
    /// Steps so far; the last one is at work while the operation is.
    pub stages: Vec<StageView>,
    /// What its caller should know though it is no failure: a line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What came out: a VM, image or kernel as its own route shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<serde_json::Value>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
    /// It was as asked for already, and nothing was done: a start of a VM that runs, a stop of one that does not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub was_already: bool,
    /// What the caller should know although nothing failed, in one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// One step of an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StageView {
    /// What is done, in a few words.
    pub name: String,
    /// To what, or how far.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Milliseconds from the operation's begin to the step's.
    pub started_ms: u64,
    /// Milliseconds it took; absent while it is at work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// Bytes done, where they are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_bytes: Option<u64>,
    /// Bytes to do, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<u64>,
    /// What it consists of, where that is done at the same time: the layers of an image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<StagePartView>,
}

/// A part of a step, done beside others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StagePartView {
    /// What it is, in a word.
    pub label: String,
    /// Bytes done.
    pub done_bytes: u64,
    /// Bytes to do.
    pub total_bytes: u64,
}
