//! When a VM's time ends: what is known of its age and its use.

use std::time::Duration;

use banger_model::LifetimeFacts;
use banger_store::VmRow;

use super::usage::Usage;

/// What decides when VMs become due.
#[derive(Clone, Debug)]
pub(super) struct Lifetimes {
    usage: Usage,
    /// How long a VM may run without use.
    stale_after: Option<Duration>,
}

impl Lifetimes {
    pub(super) fn new(usage: Usage, stale_after: Option<Duration>) -> Self {
        Self { usage, stale_after }
    }

    /// Returns what is known of one.
    pub(super) fn of(&self, row: &VmRow) -> LifetimeFacts {
        // A start is a use: a VM that was just started has not been idle since before.
        let used_at_ms = self.usage.used_at_ms(&row.id).map(|used| {
            let latest = [row.started_at_ms, row.touched_at_ms, Some(used)];
            latest.into_iter().flatten().max().unwrap_or(used)
        });
        LifetimeFacts {
            state: row.state,
            created_at_ms: row.created_at_ms,
            touched_at_ms: row.touched_at_ms,
            ttl: row.ttl,
            used_at_ms,
            stale_after: self.stale_after,
        }
    }
}
