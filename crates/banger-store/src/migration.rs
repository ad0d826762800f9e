//! Migrations: appended, never edited. SQLite's `user_version` counts the applied ones; each is one transaction.

use std::path::Path;

use rusqlite::Connection;
use rusqlite_migration::{M, MigrationDefinitionError, Migrations};

use crate::StoreError;

const STEPS: &[M<'static>] = &[M::up(VMS), M::up(LIFETIME_AND_EVENTS), M::up(MACHINE_SIZES), M::up(BOUND)];

const VMS: &str = "CREATE TABLE vms (
        id TEXT PRIMARY KEY NOT NULL,
        name TEXT NOT NULL UNIQUE,
        state TEXT NOT NULL,
        pending TEXT,
        image TEXT NOT NULL,
        kernel TEXT NOT NULL,
        vcpus INTEGER NOT NULL,
        memory_mib INTEGER NOT NULL,
        work_disk_bytes INTEGER NOT NULL,
        overlay_disk_bytes INTEGER NOT NULL,
        vmm_wish TEXT NOT NULL,
        vmm TEXT,
        boot_id TEXT,
        last_error TEXT,
        machine_id TEXT NOT NULL,
        ssh_host_key TEXT NOT NULL,
        ssh_host_key_public TEXT NOT NULL,
        mac TEXT NOT NULL,
        created_at_ms INTEGER NOT NULL,
        started_at_ms INTEGER
    ) STRICT;";

/// `AUTOINCREMENT`, because cursors of events are never reused, not even those of deleted events.
const LIFETIME_AND_EVENTS: &str = "
    ALTER TABLE vms ADD COLUMN changed_at_ms INTEGER;
    ALTER TABLE vms ADD COLUMN touched_at_ms INTEGER;
    ALTER TABLE vms ADD COLUMN ttl_secs INTEGER;
    ALTER TABLE vms ADD COLUMN request_key TEXT;
    ALTER TABLE vms ADD COLUMN request_sha256 TEXT;
    ALTER TABLE vms ADD COLUMN request_op_id TEXT;
    CREATE UNIQUE INDEX vms_request_key ON vms (request_key) WHERE request_key IS NOT NULL;
    CREATE TABLE events (
        cursor INTEGER PRIMARY KEY AUTOINCREMENT,
        at_ms INTEGER NOT NULL,
        kind TEXT NOT NULL,
        vm_id TEXT,
        name TEXT NOT NULL,
        op_id TEXT,
        value TEXT,
        message TEXT
    ) STRICT;";

/// The sizes that a VM's latest machine was started with; the VM's row has those of its next machine.
const MACHINE_SIZES: &str = "
    ALTER TABLE vms ADD COLUMN machine_vcpus INTEGER;
    ALTER TABLE vms ADD COLUMN machine_memory_mib INTEGER;
    ALTER TABLE vms ADD COLUMN machine_work_disk_bytes INTEGER;
    ALTER TABLE vms ADD COLUMN machine_overlay_disk_bytes INTEGER;";

/// The process of the host to which a VM is bound.
const BOUND: &str = "
    ALTER TABLE vms ADD COLUMN bound_pid INTEGER;
    ALTER TABLE vms ADD COLUMN bound_start_ticks INTEGER;";

pub(crate) fn apply(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    Migrations::from_slice(STEPS).to_latest(connection).map_err(|source| match source {
        rusqlite_migration::Error::MigrationDefinition(MigrationDefinitionError::DatabaseTooFarAhead) => {
            StoreError::Newer { path: path.to_owned() }
        }
        cause => StoreError::Migrate { path: path.to_owned(), cause },
    })
}

pub(crate) fn refuse_newer(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let applied: i64 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|source| StoreError::Open { path: path.to_owned(), source })?;
    if usize::try_from(applied).map_or(true, |applied| applied > STEPS.len()) {
        return Err(StoreError::Newer { path: path.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_the_first_version_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("banger.db");
        let mut connection = Connection::open(&path).unwrap();
        Migrations::from_slice(STEPS).to_version(&mut connection, 1).unwrap();
        connection.execute_batch(include_str!("../testdata/vm-1.sql")).unwrap();
        drop(connection);
        let store = crate::Store::open(&path).unwrap();
        let rows = store.list_vms().unwrap();
        let [row] = &*rows else { panic!("{rows:?}") };
        assert_eq!((row.name.as_str(), row.spec.memory.get()), ("old", 1024));
        assert_eq!((row.ttl, row.touched_at_ms, &row.request), (None, None, &None));
        assert_eq!(row.machine, None);
    }

    #[test]
    fn a_database_that_cannot_be_migrated_is_told_without_its_sql() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("banger.db");
        let mut connection = Connection::open(&path).unwrap();
        Migrations::from_slice(STEPS).to_version(&mut connection, 1).unwrap();
        connection.execute_batch("ALTER TABLE vms ADD COLUMN changed_at_ms INTEGER").unwrap();
        drop(connection);
        let error = crate::Store::open(&path).unwrap_err();
        let told = error.to_string();
        assert!(std::error::Error::source(&error).is_none());
        assert!(told.contains("(duplicate column name: changed_at_ms)"), "{told}");
        assert!(told.contains("move it away") && !told.contains("ALTER"), "{told}");
    }

    #[test]
    fn every_migration_applies_to_an_empty_database() {
        Migrations::from_slice(STEPS).validate().unwrap();
    }
}
