//! Migrations: appended, never edited. SQLite's `user_version` counts those that were applied, each in a transaction.

use std::path::Path;

use rusqlite::Connection;
use rusqlite_migration::{M, MigrationDefinitionError, Migrations};

use crate::StoreError;

const STEPS: &[M<'static>] = &[M::up(
    "CREATE TABLE vms (
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
    ) STRICT;",
)];

pub(crate) fn apply(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    Migrations::from_slice(STEPS).to_latest(connection).map_err(|source| match source {
        rusqlite_migration::Error::MigrationDefinition(MigrationDefinitionError::DatabaseTooFarAhead) => {
            StoreError::Newer { path: path.to_owned() }
        }
        source => StoreError::Migrate { path: path.to_owned(), source },
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
    fn every_migration_applies_to_an_empty_database() {
        Migrations::from_slice(STEPS).validate().unwrap();
    }
}
