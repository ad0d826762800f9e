//! What happens, as clients see it: one JSON object per line, oldest first.

use banger_model::EventKind;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
