//! What a failed copy is to its user.

use banger_client::copy::CopyError;
use banger_model::count;

use crate::error::{CliError, Kind};
use crate::hint::EMPTY_PIPE;
use crate::signals::Stop;

impl From<CopyError> for CliError {
    fn from(error: CopyError) -> Self {
        match error {
            CopyError::Stream(error) => Self::output(error),
            CopyError::Client(error) => error.into(),
            CopyError::Agent(error) => error.into(),
            CopyError::SameVm { ref vm } => {
                let hint = format!("banger vm exec {vm} -- cp -a <source> <destination>");
                Self::failed(error).with_hint(hint)
            }
            CopyError::CutOff { .. } => Self::new(Kind::Lost, error),
            CopyError::Read(_)
            | CopyError::Write(_)
            | CopyError::Tar(_)
            | CopyError::Enter { .. }
            | CopyError::Files { .. }
            | CopyError::Tree { .. }
            | CopyError::Worker(_) => Self::failed(error),
        }
    }
}

/// Why no tar comes through stdin or goes to stdout.
#[derive(Debug, thiserror::Error)]
pub(super) enum StreamError {
    #[error("standard input is a terminal, and a tar is expected")]
    InputTerminal,
    #[error("stdout is a terminal, and a tar would be written to it")]
    OutputTerminal,
    #[error("standard input is empty, and a tar is expected")]
    Empty,
}

impl From<StreamError> for CliError {
    fn from(error: StreamError) -> Self {
        let hint = match error {
            StreamError::InputTerminal => "tar c FILE | banger cp - VM:DIRECTORY",
            StreamError::OutputTerminal => "banger cp VM:PATH - >FILE.tar",
            StreamError::Empty => EMPTY_PIPE,
        };
        Self::failed(error).with_hint(hint.to_owned())
    }
}

/// Returns the error of a copy that a signal interrupted.
pub(super) fn interrupted(stop: Stop, files: u64) -> CliError {
    let copied = match files {
        0 => "no files copied".to_owned(),
        files => format!("{} copied", count("file", files)),
    };
    CliError::new(Kind::Interrupted(stop.exit_status()), format!("interrupted; {copied}"))
}
