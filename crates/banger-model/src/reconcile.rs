//! The decision about a VM that a dead daemon left: for processes the host's state counts, for intentions the stored row.

use crate::{Pending, VmEvent, VmState};

/// The state of a VM's machine on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MachineFound {
    /// It is running and can be taken over.
    Running,
    /// There is none.
    Nothing,
    /// One may be running, but it cannot be reached.
    OutOfReach,
    /// One is running that belongs to the directory of which this one is a copy.
    Elsewhere,
}

/// The action for a VM. A machine that runs and is not adopted is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing, because the row matches the host.
    Keep,
    /// The machine is taken over.
    Adopt,
    /// The row is right, and a machine that it does not know of is ended.
    EndStray,
    /// A create is undone, or a deletion is completed.
    Remove,
    /// The machine is started again, because its guest has rebooted.
    StartAgain,
    /// How the machine ended is determined from what it left behind.
    RecordEnding,
    /// The VM no longer has a machine.
    Stop {
        /// The event for the VM's state.
        event: VmEvent,
        /// The reason; absent if the user requested the end.
        why: Option<Interruption>,
    },
}

/// The reason why a VM no longer has a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// The daemon died during the start.
    InStart,
    /// The machine could not be taken over.
    OutOfReach,
    /// The machine belongs to another directory, and neither it nor its sockets are touched.
    Elsewhere,
}

impl Verdict {
    /// Decides from the row and the state of the host.
    #[must_use]
    pub fn of(state: VmState, pending: Option<Pending>, found: MachineFound) -> Self {
        match pending {
            Some(Pending::Create | Pending::Delete) => return Self::Remove,
            Some(Pending::Reboot) => return Self::StartAgain,
            None => {}
        }
        let event = match state {
            VmState::Starting => VmEvent::BootFailed,
            VmState::Running | VmState::Stopping => VmEvent::MachineEnded,
            VmState::Created | VmState::Stopped | VmState::Failed => {
                return if found == MachineFound::Running { Self::EndStray } else { Self::Keep };
            }
        };
        let why = match (state, found) {
            (VmState::Running, MachineFound::Running) => return Self::Adopt,
            (VmState::Running, MachineFound::Nothing) => return Self::RecordEnding,
            // The user requested the end.
            (VmState::Stopping, _) => None,
            (_, MachineFound::Running | MachineFound::Nothing) => Some(Interruption::InStart),
            (_, MachineFound::OutOfReach) => Some(Interruption::OutOfReach),
            (_, MachineFound::Elsewhere) => Some(Interruption::Elsewhere),
        };
        Self::Stop { event, why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOUND: [MachineFound; 4] =
        [MachineFound::Running, MachineFound::Nothing, MachineFound::OutOfReach, MachineFound::Elsewhere];

    #[test]
    fn unfinished_work_counts_for_more_than_the_state() {
        for state in VmState::ALL {
            for found in FOUND {
                assert_eq!(Verdict::of(state, Some(Pending::Create), found), Verdict::Remove);
                assert_eq!(Verdict::of(state, Some(Pending::Delete), found), Verdict::Remove);
                assert_eq!(Verdict::of(state, Some(Pending::Reboot), found), Verdict::StartAgain);
            }
        }
    }

    #[test]
    fn what_runs_is_kept_only_where_the_row_says_so() {
        use MachineFound::{Elsewhere, Nothing, OutOfReach, Running};
        let stop = |event, why| Verdict::Stop { event, why };
        let failed = |why| stop(VmEvent::BootFailed, Some(why));
        let ended = |why| stop(VmEvent::MachineEnded, why);
        for (state, found, verdict) in [
            (VmState::Running, Running, Verdict::Adopt),
            (VmState::Running, Nothing, Verdict::RecordEnding),
            (VmState::Running, OutOfReach, ended(Some(Interruption::OutOfReach))),
            (VmState::Running, Elsewhere, ended(Some(Interruption::Elsewhere))),
            (VmState::Starting, Running, failed(Interruption::InStart)),
            (VmState::Starting, Nothing, failed(Interruption::InStart)),
            (VmState::Starting, OutOfReach, failed(Interruption::OutOfReach)),
            (VmState::Starting, Elsewhere, failed(Interruption::Elsewhere)),
            (VmState::Stopping, Running, ended(None)),
            (VmState::Stopping, Nothing, ended(None)),
            (VmState::Stopping, OutOfReach, ended(None)),
            (VmState::Stopping, Elsewhere, ended(None)),
        ] {
            assert_eq!(Verdict::of(state, None, found), verdict, "{state} {found:?}");
        }
        for state in [VmState::Created, VmState::Stopped, VmState::Failed] {
            assert_eq!(Verdict::of(state, None, Running), Verdict::EndStray);
            for found in [Nothing, OutOfReach, Elsewhere] {
                assert_eq!(Verdict::of(state, None, found), Verdict::Keep);
            }
        }
    }

    #[test]
    fn every_verdict_is_one_that_the_table_of_states_allows() {
        for state in VmState::ALL {
            for found in FOUND {
                if let Verdict::Stop { event, .. } = Verdict::of(state, None, found) {
                    assert!(!state.after(event).unwrap().has_machine(), "{state} {found:?}");
                }
            }
        }
    }
}
