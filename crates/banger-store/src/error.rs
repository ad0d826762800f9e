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
    #[error("cannot migrate the database `{}`", path.display())]
    Migrate {
        /// Which.
        path: PathBuf,
        /// Why.
        source: rusqlite_migration::Error,
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
            Self::Migrate { source: rusqlite_migration::Error::RusqliteError { err, .. }, .. } => {
                may_want_room(err)
            }
            Self::Migrate { .. } | Self::Newer { .. } | Self::NameTaken { .. } | Self::Damaged { .. } => {
                false
            }
        }
    }
}
