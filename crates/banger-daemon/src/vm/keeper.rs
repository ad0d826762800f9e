//! Does what becomes due by itself: deletes VMs whose time to live has passed, stops those that nobody uses. When
//! something becomes due is a rule of the model; here is the clock that it waits for.

use std::sync::Arc;
use std::time::Duration;

use banger_api::{DeleteVm, StopVm};
use banger_model::{Due, LifetimeFacts, VmId};
use banger_store::VmRow;
use tracing::{info, warn};

use super::VmError;
use super::lifecycle::VmService;
use crate::clock::now_ms;

/// Longest sleep: the wall clock may be set, and the host may sleep, while a timer runs.
const SLEEP_MAX: Duration = Duration::from_mins(1);
/// How long after a failure it is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(30);

impl VmService {
    /// Begins to keep time. Called once, after `reconcile`.
    pub fn keep_time(self: &Arc<Self>) {
        let service = Arc::clone(self);
        self.parts.supervisor.spawn("time keeper", async move {
            loop {
                let pause = match service.do_what_is_due() {
                    Ok(pause) => pause,
                    Err(error) => {
                        warn!(%error, "what is due cannot be looked up");
                        RETRY_PAUSE
                    }
                };
                let changed = service.lifetimes_changed.notified();
                let _ = tokio::time::timeout(pause, changed).await;
            }
        });
    }

    /// Begins the end of every VM whose time has come; returns how long nothing else becomes due.
    fn do_what_is_due(self: &Arc<Self>) -> Result<Duration, VmError> {
        let now = now_ms();
        let mut pause = SLEEP_MAX;
        for row in &*self.rows.list()? {
            let Some((at, due)) = self.lifetime(row).next_due().filter(|_| row.pending.is_none()) else {
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
        let id = row.id.as_str();
        let begun = match due {
            Due::Delete => {
                info!(vm = %row.name, "its time to live has passed");
                self.delete(id, DeleteVm::default())
            }
            Due::Stop => {
                info!(vm = %row.name, "nobody has used it for long");
                self.stop(id, &StopVm::default())
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
        self.parts.supervisor.spawn("due operation", async move {
            service.parts.operations.ended(&begun.id).await;
            service.end_due(&id);
        });
    }

    fn begin_due(&self, id: &VmId) -> bool {
        self.due_now.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(id.clone())
    }

    fn end_due(&self, id: &VmId) {
        self.due_now.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(id);
    }

    pub(super) fn lifetime(&self, row: &VmRow) -> LifetimeFacts {
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
            stale_after: self.parts.config.auto_stop_stale_after,
        }
    }
}
