//! Work on a VM that outlives the daemon that began it.

use crate::words::words;

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

words! {
    Pending { Create = "create", Delete = "delete", Reboot = "reboot" }
}
