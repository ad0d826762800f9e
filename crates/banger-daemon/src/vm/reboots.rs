//! How often guests have rebooted lately.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use banger_model::{Reboot, Reboots, VmId};

/// Counts by VM. The mutex is held for a look-up only; a daemon's end forgets them.
#[derive(Debug, Default)]
pub(super) struct RebootCounts(Mutex<HashMap<VmId, Reboots>>);

impl RebootCounts {
    /// Counts a reboot of a guest that was up for this long; returns what is done about it.
    pub(super) fn add(&self, id: &VmId, was_up: Duration) -> Reboot {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.entry(id.clone()).or_default().add(was_up)
    }
}
