//! Failures of the store.

use std::path::PathBuf;

use banger_model::VmName;

use crate::reserve::may_want_room;

/// The reason why the store cannot do what was requested.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum StoreError {
    #[error("cannot open the database `{}`{}", path.display(), remedy(source))]
    Open { path: PathBuf, source: rusqlite::Error },
    #[error("the database `{}` was written by a newer version of banger", path.display())]
    Newer {
        /// Which.
        path: PathBuf,
    },
    /// A migration failed; the database is as it was.
    #[error(
        "cannot convert the database `{}` to the form of this version ({}); it stays as it was: put a copy of it back, or move \
         it away to begin without VMs (their disks are kept)",
        path.display(), migration_trouble(cause)
    )]
    Migrate {
        /// Which.
        path: PathBuf,
        /// Why. Not its source: it would be told with its SQL.
        cause: rusqlite_migration::Error,
    },
    /// A VM with this name exists.
    #[error("a VM named `{name}` already exists")]
    NameTaken { name: VmName },
    #[error("the database cannot {action}")]
    Statement {
        /// What the statement was for, to complete "cannot …".
        action: &'static str,
        source: rusqlite::Error,
    },
    /// A row contains a value that no version has written.
    #[error("the database's row of VM `{id}` is damaged: {reason}")]
    Damaged { id: String, reason: String },
}

/// Says in SQLite's own words why a migration failed, without the statement.
fn migration_trouble(cause: &rusqlite_migration::Error) -> String {
    match cause {
        rusqlite_migration::Error::RusqliteError {
            err: rusqlite::Error::SqliteFailure(_, Some(words)),
            ..
        } => words.clone(),
        rusqlite_migration::Error::RusqliteError { err, .. } => match err.sqlite_error() {
            Some(error) => rusqlite::ffi::code_to_str(error.extended_code).to_owned(),
            None => "its schema is not the expected one".to_owned(),
        },
        _ => "its schema is not the expected one".to_owned(),
    }
}

/// Says what helps, where the file itself is the trouble.
fn remedy(source: &rusqlite::Error) -> &'static str {
    match source.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => {
            ", which is damaged; put a copy of it back, or move it away to begin without VMs (their disks are kept)"
        }
        _ => "",
    }
}

impl StoreError {
    /// Tells whether the failure may be caused by a lack of disk space.
    pub(crate) fn may_want_room(&self) -> bool {
        match self {
            Self::Open { source, .. } | Self::Statement { source, .. } => may_want_room(source),
            Self::Migrate { cause: rusqlite_migration::Error::RusqliteError { err, .. }, .. } => {
                may_want_room(err)
            }
            Self::Migrate { .. } | Self::Newer { .. } | Self::NameTaken { .. } | Self::Damaged { .. } => {
                false
            }
        }
    }
}
