//! Paths on this host, made absolute: the daemon has a working directory of its own.

use std::io;
use std::path::{Path, PathBuf};

use banger_model::HostPath;

use crate::error::{CliError, Kind};

/// Why a path cannot be made absolute.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HostPathError {
    #[error("cannot find out the working directory")]
    WorkingDirectory(#[source] io::Error),
    #[error("the path `{}` is not valid UTF-8", .0.display())]
    NotText(PathBuf),
}

impl From<HostPathError> for CliError {
    fn from(error: HostPathError) -> Self {
        let kind = match &error {
            HostPathError::WorkingDirectory(_) => Kind::Failed,
            HostPathError::NotText(_) => Kind::Usage,
        };
        Self::new(kind, error)
    }
}

/// Returns the path as a request has it.
pub(crate) fn absolute(path: &Path) -> Result<HostPath, HostPathError> {
    let absolute = std::path::absolute(path).map_err(HostPathError::WorkingDirectory)?;
    let text = absolute.to_str().and_then(|text| HostPath::try_from(text.to_owned()).ok());
    text.ok_or_else(|| HostPathError::NotText(path.to_owned()))
}
