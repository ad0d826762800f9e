//! The reasons for which a VM is stopped or deleted: its events say so where nobody asked for it.

/// The reason for which a VM is stopped or deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// Somebody asked for it.
    Asked,
    /// Its time to live has passed.
    Expired,
    /// Nobody has used it for longer than the configuration allows.
    Unused,
    /// The process that it was made for has ended.
    Unbound,
}

impl Reason {
    /// Returns the reason as the message of an event; none where somebody asked.
    pub(super) fn message(self) -> Option<&'static str> {
        match self {
            Self::Asked => None,
            Self::Expired => Some("its time to live has passed"),
            Self::Unused => Some("it was not used for as long as `auto_stop_stale_after` allows"),
            Self::Unbound => Some("the process for which it was made has ended"),
        }
    }

    /// Returns a sentence for those who were in the guest; `done` is what happened to the VM.
    pub(super) fn sentence(self, done: &str) -> String {
        match self.message() {
            Some(message) => format!("the VM was {done} because {message}"),
            None => format!("the VM was {done}"),
        }
    }
}
