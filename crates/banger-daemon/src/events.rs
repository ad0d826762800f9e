//! What happens, for whoever wants to know: kept in the store, so that a listener goes on where it was, also after the
//! daemon was away; told at once, so that nobody has to ask again and again.

use std::sync::Arc;

use banger_model::{EventKind, OperationState};
use banger_store::{Event, EventRow, Store, StoreError, VmRow};
use tokio::sync::watch;
use tracing::warn;

use crate::clock::now_ms;
use crate::operation::{OperationStatus, Operations, current_id};

/// Events that are read from the store at a time.
const BATCH: u32 = 256;

/// All events.
#[derive(Clone, Debug)]
pub struct Events {
    store: Arc<Store>,
    latest: watch::Receiver<i64>,
}

impl Events {
    /// The events of a store.
    #[must_use]
    pub fn new(store: Arc<Store>) -> Self {
        let (sender, latest) = watch::channel(0);
        store.on_event(move |cursor| {
            sender.send_modify(|latest| *latest = cursor.max(*latest));
        });
        Self { store, latest }
    }

    /// Tells when operations begin and end from now on.
    pub fn observe(&self, operations: &Operations) {
        let store = Arc::clone(&self.store);
        operations.observe(move |operation| {
            if let Err(error) = store.add_event(&event_of(operation)) {
                warn!(op = operation.id, %error, "an event is not kept");
            }
        });
    }

    /// Tells something about a VM that is not in its row.
    pub(crate) fn tell_vm(
        &self,
        kind: EventKind,
        row: &VmRow,
        message: Option<String>,
    ) -> Result<(), StoreError> {
        self.store.add_event(&Event {
            kind,
            vm_id: Some(row.id.to_string()),
            name: row.name.to_string(),
            op_id: None,
            value: Some(row.state.as_str().to_owned()),
            message,
        })
    }

    /// Tells what may not work, or could be better, about a VM that is started.
    pub(crate) fn warn_of_vm(&self, row: &VmRow, message: &str) -> Result<(), StoreError> {
        self.store.add_event(&Event {
            kind: EventKind::VmWarning,
            vm_id: Some(row.id.to_string()),
            name: row.name.to_string(),
            op_id: current_id(),
            value: None,
            message: Some(message.to_owned()),
        })
    }

    /// Tells of every event from now on, without what it is.
    pub(crate) fn changes(&self) -> watch::Receiver<i64> {
        self.latest.clone()
    }

    /// Returns a reader of what comes after a cursor; without one, of what comes from now on.
    ///
    /// # Errors
    /// As the store.
    pub fn read_after(&self, after: Option<i64>) -> Result<EventReader, StoreError> {
        let (kept_after, latest) = self.store.event_cursors()?;
        let wanted = after.unwrap_or(latest);
        Ok(EventReader {
            events: self.clone(),
            cursor: wanted.max(kept_after),
            lost: if wanted < kept_after {
                Some("events before this cursor are no longer kept".to_owned())
            } else if wanted > latest {
                Some(format!(
                    "there is no event {wanted} yet, the latest is {latest}; the cursor may be from another daemon"
                ))
            } else {
                None
            },
        })
    }
}

/// Reads events, oldest first.
#[derive(Debug)]
pub struct EventReader {
    events: Events,
    cursor: i64,
    /// Why the cursor cannot be gone on from, until it is told.
    lost: Option<String>,
}

impl EventReader {
    /// Returns the next events, at least one; `None` when there is none and `follow` is not set.
    ///
    /// # Errors
    /// As the store.
    pub async fn next(&mut self, follow: bool) -> Result<Option<Vec<EventRow>>, StoreError> {
        if let Some(why) = self.lost.take() {
            let (kept_after, latest) = self.events.store.event_cursors()?;
            self.cursor = self.cursor.clamp(kept_after, latest);
            return Ok(Some(vec![missed(self.cursor, why)]));
        }
        let mut latest = self.events.latest.clone();
        loop {
            latest.mark_unchanged();
            let rows = self.events.store.events(self.cursor, BATCH)?;
            if let Some(last) = rows.last() {
                self.cursor = last.cursor;
                return Ok(Some(rows));
            }
            // An error means that the store is gone, and with it everything that could happen.
            if !follow || latest.changed().await.is_err() {
                return Ok(None);
            }
        }
    }
}

fn missed(cursor: i64, why: String) -> EventRow {
    let event = Event {
        kind: EventKind::EventsMissed,
        vm_id: None,
        name: String::new(),
        op_id: None,
        value: None,
        message: Some(why),
    };
    EventRow { cursor, at_ms: now_ms(), event }
}

fn event_of(operation: &OperationStatus) -> Event {
    let (kind, value) = match operation.state {
        OperationState::Running | OperationState::Cancelling => {
            (EventKind::OperationBegun, operation.kind.as_str())
        }
        OperationState::Succeeded | OperationState::Failed | OperationState::Cancelled => {
            (EventKind::OperationEnded, operation.state.as_str())
        }
    };
    Event {
        kind,
        vm_id: None,
        name: operation.target.clone(),
        op_id: Some(operation.id.clone()),
        value: Some(value.to_owned()),
        message: operation.failure.as_ref().map(|failure| failure.message.clone()),
    }
}
