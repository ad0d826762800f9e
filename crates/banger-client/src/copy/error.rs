//! Why a copy failed.

use std::io;

use banger_api::VmView;
use banger_guest::AgentError;
use banger_tree::{ReadError, WriteError};
use tokio::task::JoinError;

use super::tar_error::TarError;
use crate::client::ClientError;
use crate::guest::GuestError;

/// Why a copy failed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum CopyError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Tar(#[from] TarError),
    /// The stream takes no more of a tar.
    #[error("cannot write the tar")]
    Stream(#[source] io::Error),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("cannot enter VM `{}`", vm.name)]
    Enter { vm: Box<VmView>, source: GuestError },
    #[error(transparent)]
    Agent(AgentError),
    /// The agent's own words about its files.
    #[error("{vm}: {message}")]
    Files { vm: String, message: String },
    #[error("cannot copy `{what}`")]
    Tree { what: String, source: AgentError },
    #[error("source and destination are both in VM `{vm}`")]
    SameVm { vm: String },
    #[error("the copy of `{what}` is incomplete")]
    CutOff { what: String },
    #[error("the work on this host's files ended unexpectedly")]
    Worker(#[source] JoinError),
}
