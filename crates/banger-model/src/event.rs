//! What happens around VMs and operations.

use serde::{Deserialize, Serialize};

use crate::words::words;

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
    /// The command that was started for a VM itself has ended; `message` tells how.
    VmCommandEnded,
    /// An operation has begun; `value` is its kind.
    OperationBegun,
    /// An operation has ended; `value` is its state, `message` its error.
    OperationEnded,
    /// The cursor that was asked for is not one to go on from: `message` tells why. What comes after this one follows.
    EventsMissed,
}

words! {
    EventKind {
        VmAdded = "vm_added",
        VmState = "vm_state",
        VmChanged = "vm_changed",
        VmRemoved = "vm_removed",
        VmUnresponsive = "vm_unresponsive",
        VmResponsive = "vm_responsive",
        VmPaused = "vm_paused",
        VmResumed = "vm_resumed",
        VmWritesFailed = "vm_writes_failed",
        VmWarning = "vm_warning",
        VmNetworkLost = "vm_network_lost",
        VmNetworkRestored = "vm_network_restored",
        VmCommandEnded = "vm_command_ended",
        OperationBegun = "operation_begun",
        OperationEnded = "operation_ended",
        EventsMissed = "events_missed",
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
