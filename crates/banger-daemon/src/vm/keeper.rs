//! Does what becomes due by itself: deletes VMs whose time to live has passed, stops those that nobody uses. When
//! something becomes due is a rule of the model; here is the clock that it waits for.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use banger_model::{Due, VmId, VmRef};
use banger_store::VmRow;
use tokio::sync::Notify;
use tracing::{info, warn};

use super::VmError;
use super::lifecycle::Lifecycle;
use super::lifetimes::Lifetimes;
use super::reason::Reason;
use super::rows::Rows;
use crate::clock::now_ms;
use crate::operation::Operations;
use crate::supervisor::Supervisor;

/// Longest sleep: the wall clock may be set, and the host may sleep, while a timer runs.
const SLEEP_MAX: Duration = Duration::from_mins(1);
/// How long after a failure it is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(30);

/// Does what is due.
pub(super) struct TimeKeeper {
    pub(super) rows: Rows,
    pub(super) lifetimes: Lifetimes,
    pub(super) lifecycle: Arc<Lifecycle>,
    /// Told when something may become due earlier than was known.
    pub(super) changed: Arc<Notify>,
    /// VMs whose end is at work because it became due. Held for a look-up only.
    pub(super) due_now: Mutex<HashSet<VmId>>,
    pub(super) operations: Operations,
    pub(super) supervisor: Supervisor,
}

impl TimeKeeper {
    /// Begins to keep time. Called once, after `reconcile`.
    pub(super) fn begin(self: &Arc<Self>) {
        let service = Arc::clone(self);
        self.supervisor.spawn("time keeper", async move {
            loop {
                let pause = match service.do_what_is_due() {
                    Ok(pause) => pause,
                    Err(error) => {
                        warn!(%error, "what is due cannot be looked up");
                        RETRY_PAUSE
                    }
                };
                let changed = service.changed.notified();
                let _ = tokio::time::timeout(pause, changed).await;
            }
        });
    }

    /// Begins the end of every VM whose time has come; returns how long nothing else becomes due.
    fn do_what_is_due(self: &Arc<Self>) -> Result<Duration, VmError> {
        let now = now_ms();
        let mut pause = SLEEP_MAX;
        for row in &*self.rows.list()? {
            let Some((at, due)) = self.lifetimes.of(row).next_due().filter(|_| row.pending.is_none()) else {
                continue;
            };
            if at > now {
                pause = pause.min(Duration::from_millis(u64::try_from(at - now).unwrap_or(0)));
            } else {
                self.do_due(row, due);
                // Its operation is at work: it is looked at again when that has changed the row, or failed.
                pause = pause.min(RETRY_PAUSE);
            }
        }
        Ok(pause)
    }

    fn do_due(self: &Arc<Self>, row: &VmRow, due: Due) {
        // Begun already, and not yet at its end.
        if !self.begin_due(&row.id) {
            return;
        }
        let vm = VmRef::from(&row.id);
        let begun = match due {
            Due::Delete => {
                info!(vm = %row.name, "its time to live has passed");
                self.lifecycle.delete_because(&vm, Reason::Expired)
            }
            Due::Stop => {
                info!(vm = %row.name, "nobody has used it for long");
                self.lifecycle.stop_because(&vm, None, Reason::Unused)
            }
        };
        let (service, id) = (Arc::clone(self), row.id.clone());
        let begun = match begun {
            Ok(begun) => begun,
            Err(error) => {
                warn!(vm = %row.name, %error, "what is due cannot be begun");
                return self.end_due(&id);
            }
        };
        self.supervisor.spawn("due operation", async move {
            service.operations.ended(&begun.id).await;
            service.end_due(&id);
        });
    }

    fn begin_due(&self, id: &VmId) -> bool {
        self.due_now.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone())
    }

    fn end_due(&self, id: &VmId) {
        self.due_now.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}
