//! Why the store did not do what was asked.

use std::path::PathBuf;

use banger_model::VmName;

use crate::reserve::may_want_room;

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be opened.
    #[error("cannot open the database `{}`", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// It was written by a newer version.
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
    NameTaken {
        /// Its name.
        name: VmName,
    },
    /// A statement failed.
    #[error("the database cannot {action}")]
    Statement {
        /// What it should have done.
        action: &'static str,
        /// Why.
        source: rusqlite::Error,
    },
    /// A row holds what no version has written.
    #[error("the database's row of VM `{id}` is damaged: {reason}")]
    Damaged {
        /// Which row.
        id: String,
        /// What is wrong.
        reason: String,
    },
}

impl StoreError {
    /// Tells whether it may have failed for want of room on the disk.
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
