//! Work on a VM that must be finished or undone when the daemon dies in its middle.

/// What is in its middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    /// It is being made: undone.
    Create,
    /// It is being removed: finished.
    Delete,
    /// Its guest has rebooted: its machine is started again.
    Reboot,
}

impl Pending {
    /// Returns its name, as it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Reboot => "reboot",
        }
    }

    /// Returns the one with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Create, Self::Delete, Self::Reboot].into_iter().find(|pending| pending.as_str() == name)
    }
}
