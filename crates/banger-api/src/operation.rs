//! Long work, as clients see it.

use banger_model::{OperationKind, OperationState};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ErrorBody;

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
