//! What happens around VMs and operations.

use serde::{Deserialize, Serialize};

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum EventKind {
    /// A VM's name was taken; it is being made.
    VmAdded,
    /// A VM is in another state: `value`. `message` tells why, where nobody asked for it or a guest was ended by force.
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

impl EventKind {
    /// All kinds.
    pub const ALL: [Self; 15] = [
        Self::VmAdded,
        Self::VmState,
        Self::VmChanged,
        Self::VmRemoved,
        Self::VmUnresponsive,
        Self::VmResponsive,
        Self::VmPaused,
        Self::VmResumed,
        Self::VmWritesFailed,
        Self::VmWarning,
        Self::VmNetworkLost,
        Self::VmNetworkRestored,
        Self::OperationBegun,
        Self::OperationEnded,
        Self::EventsMissed,
    ];

    /// Returns the word for it, which is written into the log of events and sent to clients.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VmAdded => "vm_added",
            Self::VmState => "vm_state",
            Self::VmChanged => "vm_changed",
            Self::VmRemoved => "vm_removed",
            Self::VmUnresponsive => "vm_unresponsive",
            Self::VmResponsive => "vm_responsive",
            Self::VmPaused => "vm_paused",
            Self::VmResumed => "vm_resumed",
            Self::VmWritesFailed => "vm_writes_failed",
            Self::VmWarning => "vm_warning",
            Self::VmNetworkLost => "vm_network_lost",
            Self::VmNetworkRestored => "vm_network_restored",
            Self::OperationBegun => "operation_begun",
            Self::OperationEnded => "operation_ended",
            Self::EventsMissed => "events_missed",
        }
    }

    /// Returns the kind with this word; `None` for one that only a newer version writes.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_stored_and_sent_under_the_same_word() {
        for kind in EventKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
            assert_eq!(EventKind::from_word(kind.as_str()), Some(kind));
        }
        assert_eq!(EventKind::from_word("vm_on_fire"), None);
    }
}
