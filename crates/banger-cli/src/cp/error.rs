//! Why a copy failed.

use banger_guest::AgentError;
use banger_tree::{ReadError, WriteError};
use tokio::task::JoinError;

use crate::error::{CliError, Kind};
use crate::render::count;

/// Why a copy failed, beside what its parts say.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    /// The agent's own words about its files.
    #[error("{vm}: {message}")]
    Files { vm: String, message: String },
    #[error("cannot copy `{what}`")]
    Tree { what: String, source: AgentError },
    #[error("source and destination are both in VM `{vm}`")]
    SameVm { vm: String },
    #[error("the copy of `{what}` is incomplete")]
    CutOff { what: String },
    #[error("interrupted; {}", copied(*.files))]
    Interrupted { status: u8, files: u64 },
    #[error("the work on this host's files ended unexpectedly")]
    Worker(#[source] JoinError),
}

impl From<CopyError> for CliError {
    fn from(error: CopyError) -> Self {
        let (kind, hint) = match &error {
            CopyError::SameVm { vm } => {
                (Kind::Failed, Some(format!("banger vm exec {vm} -- cp -a <source> <destination>")))
            }
            CopyError::CutOff { .. } => (Kind::Lost, None),
            CopyError::Interrupted { status, .. } => (Kind::Interrupted(*status), None),
            CopyError::Files { .. } | CopyError::Tree { .. } | CopyError::Worker(_) => (Kind::Failed, None),
        };
        Self::new(kind, error).with_hint(hint)
    }
}

impl From<ReadError> for CliError {
    fn from(error: ReadError) -> Self {
        Self::failed(error)
    }
}

impl From<WriteError> for CliError {
    fn from(error: WriteError) -> Self {
        Self::failed(error)
    }
}

fn copied(files: u64) -> String {
    match files {
        0 => "no files copied".to_owned(),
        files => format!("{} copied", count("file", files)),
    }
}
