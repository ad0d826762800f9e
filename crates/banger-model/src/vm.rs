//! The states of a VM and the events that each one allows.
//!
//! ```text
//!            BootStarted          BootFinished            StopStarted
//!  Created ───────────▶ Starting ────────────▶ Running ─────────────▶ Stopping
//!     ▲                    │ ▲                    │                      │
//!     │          BootFailed│ │BootStarted         │MachineEnded          │MachineEnded
//!     │                    ▼ │                    ▼                      ▼
//!     └── (new)         Failed ◀── BootFailed    Stopped ◀───────────────┘
//! ```
//! A machine may end by itself at any time: the state is then `Stopped`, which is not an error. A machine whose guest
//! reboots is started again: `Running` becomes `Starting` (`GuestRebooted`). A `Failed` VM keeps its disks and its log, and
//! can be started again. A VM without a machine can be deleted at once; one with a machine is killed first.

use serde::{Deserialize, Serialize};

/// The state of a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum VmState {
    /// Its name is reserved, and it was never started.
    Created,
    /// Its machine is being started, or its guest is booting.
    Starting,
    /// The guest has answered.
    Running,
    /// The VM was asked to stop.
    Stopping,
    /// The VM has no machine; its disks are kept.
    Stopped,
    /// The last start did not reach the guest; its disks and log are kept.
    Failed,
}

/// An event in the life of a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VmEvent {
    /// A start was requested.
    BootStarted,
    /// The guest answered.
    BootFinished,
    /// The guest never answered, or the machine did not start.
    BootFailed,
    /// A stop or kill was requested.
    StopStarted,
    /// The machine ended, on request or by itself.
    MachineEnded,
    /// The machine ended because its guest reboots: it is started again.
    GuestRebooted,
}

/// The reason why an event is not allowed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// There is nothing to stop or to finish.
    #[error("the VM is not running")]
    NotRunning,
    /// The VM is running already.
    #[error("the VM is already running")]
    AlreadyRunning,
    /// Another command is starting the VM.
    #[error("the VM is starting")]
    IsStarting,
    /// Another command is stopping the VM.
    #[error("the VM is stopping")]
    IsStopping,
}

impl VmState {
    /// All states.
    pub const ALL: [Self; 6] =
        [Self::Created, Self::Starting, Self::Running, Self::Stopping, Self::Stopped, Self::Failed];

    /// Returns the state after an event.
    ///
    /// # Errors
    /// [`Denied`] when the event cannot happen in this state.
    pub fn after(self, event: VmEvent) -> Result<Self, Denied> {
        match (self, event) {
            (Self::Created | Self::Stopped | Self::Failed, VmEvent::BootStarted) => Ok(Self::Starting),
            (Self::Starting, VmEvent::BootStarted) => Err(Denied::IsStarting),
            (Self::Running, VmEvent::BootStarted) => Err(Denied::AlreadyRunning),
            (Self::Stopping, VmEvent::BootStarted) => Err(Denied::IsStopping),

            (Self::Starting, VmEvent::BootFinished) => Ok(Self::Running),
            (Self::Running, VmEvent::BootFinished) => Err(Denied::AlreadyRunning),
            (Self::Stopping, VmEvent::BootFinished | VmEvent::BootFailed) => Err(Denied::IsStopping),
            (Self::Starting, VmEvent::BootFailed) => Ok(Self::Failed),
            (Self::Running, VmEvent::BootFailed) => Err(Denied::AlreadyRunning),
            (Self::Created | Self::Stopped | Self::Failed, VmEvent::BootFinished | VmEvent::BootFailed) => {
                Err(Denied::NotRunning)
            }

            (Self::Starting | Self::Running | Self::Stopping, VmEvent::StopStarted) => Ok(Self::Stopping),
            (Self::Starting | Self::Running | Self::Stopping, VmEvent::MachineEnded) => Ok(Self::Stopped),
            (Self::Running, VmEvent::GuestRebooted) => Ok(Self::Starting),
            (Self::Starting, VmEvent::GuestRebooted) => Err(Denied::IsStarting),
            (Self::Stopping, VmEvent::GuestRebooted) => Err(Denied::IsStopping),
            (
                Self::Created | Self::Stopped | Self::Failed,
                VmEvent::StopStarted | VmEvent::MachineEnded | VmEvent::GuestRebooted,
            ) => Err(Denied::NotRunning),
        }
    }

    /// Tells whether a machine may exist for a VM in this state.
    #[must_use]
    pub fn has_machine(self) -> bool {
        match self {
            Self::Starting | Self::Running | Self::Stopping => true,
            Self::Created | Self::Stopped | Self::Failed => false,
        }
    }

    /// Returns the state's name, as in tables and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }

    /// Returns the state with this name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

impl std::fmt::Display for VmState {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EVENTS: [VmEvent; 6] = [
        VmEvent::BootStarted,
        VmEvent::BootFinished,
        VmEvent::BootFailed,
        VmEvent::StopStarted,
        VmEvent::MachineEnded,
        VmEvent::GuestRebooted,
    ];

    fn any_event() -> impl Strategy<Value = VmEvent> {
        proptest::sample::select(EVENTS.to_vec())
    }

    #[test]
    fn the_way_up_and_down() {
        let path = [VmEvent::BootStarted, VmEvent::BootFinished, VmEvent::StopStarted, VmEvent::MachineEnded];
        let end = path.into_iter().try_fold(VmState::Created, VmState::after);
        assert_eq!(end, Ok(VmState::Stopped));
    }

    #[test]
    fn a_failed_boot_can_be_tried_again() {
        let failed = VmState::Starting.after(VmEvent::BootFailed).unwrap();
        assert_eq!(failed.after(VmEvent::BootStarted), Ok(VmState::Starting));
    }

    #[test]
    fn what_has_a_machine_can_always_be_stopped_and_may_always_end() {
        for state in VmState::ALL.into_iter().filter(|state| state.has_machine()) {
            assert_eq!(state.after(VmEvent::StopStarted), Ok(VmState::Stopping));
            assert_eq!(state.after(VmEvent::MachineEnded), Ok(VmState::Stopped));
        }
    }

    #[test]
    fn every_name_reads_back() {
        for state in VmState::ALL {
            assert_eq!(VmState::from_name(state.as_str()), Some(state));
            assert_eq!(serde_json::to_string(&state).unwrap(), format!("\"{state}\""));
        }
    }

    proptest! {
        #[test]
        fn only_a_boot_start_gives_a_machine(events in proptest::collection::vec(any_event(), 0..40)) {
            let mut state = VmState::Created;
            for event in events {
                let before = state;
                if let Ok(next) = state.after(event) {
                    state = next;
                }
                if state.has_machine() && !before.has_machine() {
                    prop_assert_eq!(event, VmEvent::BootStarted);
                }
            }
        }

        #[test]
        fn from_every_state_a_stop_ends_without_a_machine(events in proptest::collection::vec(any_event(), 0..40)) {
            let state = events.into_iter().fold(VmState::Created, |state, event| state.after(event).unwrap_or(state));
            let stopped = state.after(VmEvent::StopStarted).and_then(|state| state.after(VmEvent::MachineEnded));
            prop_assert_eq!(stopped.is_ok(), state.has_machine());
        }
    }
}
