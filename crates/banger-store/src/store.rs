//! The open database: one connection, the rows that were read last, and reserved space for the next write.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::reserve::Reserve;
use crate::vm_row::VmRow;
use crate::{StoreError, migration};

/// The open store.
pub struct Store {
    database: Mutex<Database>,
    reserve: Reserve,
    listener: OnceLock<Box<dyn Fn(i64) + Send + Sync>>,
}

pub(crate) struct Database {
    pub(crate) connection: Connection,
    /// The rows that were read last.
    pub(crate) listed: Option<(DatabaseVersion, Arc<[VmRow]>)>,
}

/// A version of the database. If two are equal, nobody has written in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DatabaseVersion {
    /// Changes with each commit of another connection (<https://sqlite.org/pragma.html#pragma_data_version>).
    of_others: i64,
    /// Incremented with each row that this connection writes.
    ours: u64,
}

impl DatabaseVersion {
    pub(crate) fn of(connection: &Connection) -> rusqlite::Result<Self> {
        let of_others = connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        Ok(Self { of_others, ours: connection.total_changes() })
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the database, creates it if it is missing, and migrates it.
    ///
    /// # Errors
    /// [`StoreError::Open`], [`StoreError::Newer`], [`StoreError::Migrate`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let reserve = Reserve::of(path);
        let connection = match open_connection(path) {
            Err(error) if error.may_want_room() && reserve.give_up() => open_connection(path),
            opened => opened,
        };
        let database = Mutex::new(Database { connection: connection?, listed: None });
        reserve.keep();
        Ok(Self { database, reserve, listener: OnceLock::new() })
    }

    /// Inspects a database without changing it; returns the IDs of its VMs.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn inspect(path: &Path) -> Result<Vec<String>, StoreError> {
        let failed = |source| StoreError::Open { path: path.to_owned(), source };
        let connection =
            Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?;
        connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(failed)?;
        migration::refuse_newer(&connection, path)?;
        let listed = |source| StoreError::Statement { action: "list the VMs", source };
        let mut statement = connection.prepare("SELECT id FROM vms").map_err(listed)?;
        let ids = statement.query_map([], |row| row.get(0)).map_err(listed)?;
        ids.collect::<Result<_, _>>().map_err(listed)
    }

    /// Calls `listener` with the cursor of each new event, once it is written. Only the first listener is kept.
    pub fn on_event(&self, listener: impl Fn(i64) + Send + Sync + 'static) {
        let _ = self.listener.set(Box::new(listener));
    }

    pub(crate) fn announce(&self, cursor: i64) {
        if let Some(listener) = self.listener.get() {
            listener(cursor);
        }
    }

    /// Performs a write. If there is no space for it, it is tried once more with the reserved space.
    pub(crate) fn write<T>(
        &self,
        act: impl Fn(&mut Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut database = self.database();
        let done = match act(&mut database.connection) {
            Err(error) if error.may_want_room() && self.reserve.give_up() => act(&mut database.connection),
            done => done,
        };
        if done.is_ok() {
            self.reserve.keep();
        }
        done
    }

    pub(crate) fn database(&self) -> MutexGuard<'_, Database> {
        // A panic while the mutex was held cannot leave half a transaction: the transaction rolled back when it was dropped.
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // The log and its blocks stay, but its contents are moved, so that a copy of the database file alone is complete.
        let database = self.database.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = database.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
    }
}

fn open_connection(path: &Path) -> Result<Connection, StoreError> {
    let failed = |source| StoreError::Open { path: path.to_owned(), source };
    let mut connection = Connection::open(path).map_err(failed)?;
    connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(failed)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    // A killed daemon loses nothing; after a power failure the last transactions may be missing, but never torn.
    connection.pragma_update(None, "synchronous", "NORMAL").map_err(failed)?;
    connection.pragma_update(None, "foreign_keys", "ON").map_err(failed)?;
    // No temporary files are written beside the database.
    connection.pragma_update(None, "temp_store", "MEMORY").map_err(failed)?;
    // Closing would otherwise delete the log, and with it the blocks that are reserved for it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failed)?;
    migration::apply(&mut connection, path)?;
    Ok(connection)
}
