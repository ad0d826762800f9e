//! The log of events. Each change of a VM's row adds an event in the same transaction, so that the two never disagree.
//! Cursors increase and are never reused; only the latest events are kept.

use std::time::{SystemTime, UNIX_EPOCH};

use banger_model::EventKind;
use rusqlite::{Connection, Row, params};

use crate::{Store, StoreError};

/// Maximum number of events that are kept.
const KEPT_MAX: i64 = 10_000;

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its kind.
    pub kind: EventKind,
    /// ID of the VM, if the event is about one.
    pub vm_id: Option<String>,
    /// Name of the event's subject.
    pub name: String,
    /// The operation that caused it.
    pub op_id: Option<String>,
    /// The new value: the state of a VM, the outcome of an operation.
    pub value: Option<String>,
    /// The reason, as text.
    pub message: Option<String>,
}

/// An event with its cursor and time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say what the fields are")]
pub struct EventRow {
    /// Its position: greater than that of every earlier event.
    pub cursor: i64,
    /// When it happened, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    pub event: Event,
}

impl Store {
    /// Adds an event that does not belong to a change of a row.
    ///
    /// # Errors
    /// [`StoreError::Statement`].
    pub fn add_event(&self, event: &Event) -> Result<(), StoreError> {
        let failed = |source| StoreError::Statement { action: "add the event", source };
        let cursor = self.write(|connection| {
            let transaction = connection.transaction().map_err(failed)?;
            let cursor = insert(&transaction, event).map_err(failed)?;
            transaction.commit().map_err(failed)?;
            Ok(cursor)
        })?;
        self.announce(cursor);
        Ok(())
    }

    /// Returns at most `limit` events after a cursor, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Statement`].
    pub fn events(&self, after: i64, limit: u32) -> Result<Vec<EventRow>, StoreError> {
        let failed = |source| StoreError::Statement { action: "list the events", source };
        let database = self.database();
        let mut statement = database
            .connection
            .prepare_cached(
                "SELECT cursor, at_ms, kind, vm_id, name, op_id, value, message FROM events WHERE cursor > ?1 \
                 ORDER BY cursor LIMIT ?2",
            )
            .map_err(failed)?;
        let rows = statement.query_map(params![after, limit], read).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    /// Returns the cursor after which every event is still kept, and that of the latest event.
    ///
    /// # Errors
    /// [`StoreError::Statement`].
    pub fn event_cursors(&self) -> Result<(i64, i64), StoreError> {
        // SQLite remembers the last cursor even if no event is left.
        let sql = "SELECT coalesce((SELECT min(cursor) - 1 FROM events), last), last FROM (SELECT coalesce((SELECT seq \
                   FROM sqlite_sequence WHERE name = 'events'), 0) AS last)";
        self.database()
            .connection
            .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
            .map_err(|source| StoreError::Statement { action: "find the latest event", source })
    }
}

/// Adds an event and deletes those beyond the maximum; returns its cursor.
pub(crate) fn insert(connection: &Connection, event: &Event) -> rusqlite::Result<i64> {
    connection
        .prepare_cached(
            "INSERT INTO events (at_ms, kind, vm_id, name, op_id, value, message) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            now_ms(),
            event.kind.as_str(),
            event.vm_id,
            event.name,
            event.op_id,
            event.value,
            event.message
        ])?;
    let cursor = connection.last_insert_rowid();
    connection.prepare_cached("DELETE FROM events WHERE cursor <= ?1")?.execute([cursor - KEPT_MAX])?;
    Ok(cursor)
}

fn read(row: &Row<'_>) -> rusqlite::Result<EventRow> {
    Ok(EventRow {
        cursor: row.get(0)?,
        at_ms: row.get(1)?,
        event: Event {
            // Only a newer version writes a kind that is not known here; its row says what it can.
            kind: EventKind::from_word(&row.get::<_, String>(2)?).unwrap_or(EventKind::VmChanged),
            vm_id: row.get(3)?,
            name: row.get(4)?,
            op_id: row.get(5)?,
            value: row.get(6)?,
            message: row.get(7)?,
        },
    })
}

fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    fn event(name: &str) -> Event {
        Event {
            kind: EventKind::VmAdded,
            vm_id: None,
            name: name.into(),
            op_id: None,
            value: None,
            message: None,
        }
    }

    fn store() -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("banger.db")).unwrap();
        (directory, store)
    }

    #[test]
    fn events_are_read_behind_a_cursor_and_announced() {
        let (_directory, store) = store();
        assert_eq!(store.event_cursors().unwrap(), (0, 0));
        let announced = Arc::new(AtomicI64::new(0));
        let heard = Arc::clone(&announced);
        store.on_event(move |cursor| heard.store(cursor, Ordering::SeqCst));
        for name in ["one", "two", "three"] {
            store.add_event(&event(name)).unwrap();
        }
        let names = |after, limit| {
            let rows = store.events(after, limit).unwrap();
            rows.into_iter().map(|row| row.event.name).collect::<Vec<_>>()
        };
        assert_eq!(names(0, 10), ["one", "two", "three"]);
        assert_eq!(names(1, 1), ["two"]);
        assert_eq!(names(3, 10), [""; 0]);
        assert_eq!((announced.load(Ordering::SeqCst), store.event_cursors().unwrap()), (3, (0, 3)));
    }

    #[test]
    fn old_events_are_forgotten_and_their_cursors_stay_used() {
        let (_directory, store) = store();
        for _ in 0..KEPT_MAX + 5 {
            insert(&store.database().connection, &event("x")).unwrap();
        }
        assert_eq!(store.event_cursors().unwrap(), (5, KEPT_MAX + 5));
        assert_eq!(store.events(0, 1).unwrap()[0].cursor, 6);
        store.database().connection.execute("DELETE FROM events", []).unwrap();
        assert_eq!(store.event_cursors().unwrap(), (KEPT_MAX + 5, KEPT_MAX + 5));
        store.add_event(&event("x")).unwrap();
        assert_eq!(store.event_cursors().unwrap(), (KEPT_MAX + 5, KEPT_MAX + 6));
    }
}
