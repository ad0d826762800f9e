//! What is known of an operation: its state, its steps, and what came out.

use banger_model::{OperationKind, OperationState};

use crate::facts::Outcome;
use crate::fault::Failure;

/// An operation as it is at a moment.
#[derive(Clone, Debug)]
pub struct OperationStatus {
    /// Identity: in every log line and error of its course.
    pub id: String,
    /// What it does.
    pub kind: OperationKind,
    /// What it does it to: the name of a VM, image or kernel.
    pub target: String,
    /// How far it is.
    pub state: OperationState,
    /// Grows with each change.
    pub revision: u64,
    /// Steps so far; the last one is at work while the operation is.
    pub stages: Vec<Stage>,
    /// What its caller should know although it is no failure: a line each.
    pub warnings: Vec<String>,
    /// What came out, once it has succeeded.
    pub outcome: Option<Outcome>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// It was as asked for already, and nothing was done.
    pub was_already: bool,
    /// What the caller should know although nothing failed, in one sentence each.
    pub notes: Vec<String>,
}

impl OperationStatus {
    /// An operation that begins.
    pub(super) fn begun(id: String, kind: OperationKind, target: String) -> Self {
        Self {
            id,
            kind,
            target,
            state: OperationState::Running,
            revision: 1,
            stages: Vec::new(),
            warnings: Vec::new(),
            outcome: None,
            failure: None,
            was_already: false,
            notes: Vec::new(),
        }
    }

    /// An operation that has succeeded, of which no more than that is known any more.
    pub(crate) fn succeeded(id: String, kind: OperationKind, target: String, outcome: Outcome) -> Self {
        Self { state: OperationState::Succeeded, outcome: Some(outcome), ..Self::begun(id, kind, target) }
    }
}

/// One step of an operation.
#[derive(Clone, Debug)]
pub struct Stage {
    /// What is done, in a few words.
    pub name: String,
    /// To what, or how far.
    pub detail: String,
    /// Milliseconds from the operation's begin to the step's.
    pub started_ms: u64,
    /// Milliseconds it took; absent while it is at work.
    pub took_ms: Option<u64>,
    /// Bytes done, where they are counted.
    pub done_bytes: Option<u64>,
    /// Bytes to do, where that is known.
    pub total_bytes: Option<u64>,
    /// What it consists of, where that is done at the same time: the layers of an image.
    pub parts: Vec<StagePart>,
}

/// A part of a step, done beside others.
#[derive(Clone, Debug)]
pub struct StagePart {
    /// What it is, in a word.
    pub label: String,
    /// Bytes done.
    pub done_bytes: u64,
    /// Bytes to do.
    pub total_bytes: u64,
}
