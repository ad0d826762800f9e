//! What a failed copy is to its user.

use banger_client::copy::CopyError;

use crate::error::{CliError, Kind};
use crate::render::count;
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

/// Returns the error of a copy that a signal interrupted.
pub(super) fn interrupted(stop: Stop, files: u64) -> CliError {
    let copied = match files {
        0 => "no files copied".to_owned(),
        files => format!("{} copied", count("file", files)),
    };
    CliError::new(Kind::Interrupted(stop.exit_status()), format!("interrupted; {copied}"))
}
