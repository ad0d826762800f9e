//! What happens, as clients see it: one JSON object per line, oldest first.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A VM's name was taken; it is being made.
    VmAdded,
    /// A VM is in another state: `value`. `message` tells why, where nobody asked for it.
    VmState,
    /// A VM's sizes, name or time to live were changed.
    VmChanged,
    /// A VM is gone.
    VmRemoved,
    /// A running VM's guest does not answer.
    VmUnresponsive,
    /// It answers again.
    VmResponsive,
    /// A running VM's guest stands still, because the host's disk does not take what it writes; `message` tells why.
    VmPaused,
    /// It goes on.
    VmResumed,
    /// Writes of a running VM's guest have failed, and its VMM has told the guest so instead of pausing it; `message` tells
    /// why.
    VmWritesFailed,
    /// A VM is started all the same: `message` tells what may not work, or could be better.
    VmWarning,
    /// A running VM has lost its network; `message` tells what becomes of it.
    VmNetworkLost,
    /// It has its network again.
    VmNetworkRestored,
    /// An operation has begun; `value` is its kind.
    OperationBegun,
    /// An operation has ended; `value` is its state, `message` its error.
    OperationEnded,
    /// The cursor that was asked for is not one to go on from: `message` tells why. What comes after this one follows.
    EventsMissed,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventView {
    /// Its place. Ask for what comes `after` it to go on from here, now or later.
    pub cursor: i64,
    /// When (RFC 3339).
    #[schema(format = DateTime)]
    pub at: String,
    /// What kind of thing.
    pub kind: EventKind,
    /// Name of the VM, image or kernel that it is about.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Id of the VM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm_id: Option<String>,
    /// The operation in whose course it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op_id: Option<String>,
    /// What is so now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
