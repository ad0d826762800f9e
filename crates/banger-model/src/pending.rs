//! Work on a VM that outlives the daemon that began it.

/// Work on a VM that the next daemon must complete or undo if this one dies before it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    /// The VM is being created; the next daemon undoes it.
    Create,
    /// The VM is being deleted; the next daemon completes it.
    Delete,
    /// The guest has rebooted; the next daemon starts its machine again.
    Reboot,
}

impl Pending {
    /// Returns the name that is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Reboot => "reboot",
        }
    }

    /// Returns the work with this stored name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Create, Self::Delete, Self::Reboot].into_iter().find(|pending| pending.as_str() == name)
    }
}
