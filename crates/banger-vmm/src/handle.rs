//! `machine.json`: what is needed to find a machine again after the daemon went away.

use std::io;
use std::path::{Path, PathBuf};

use banger_sys::files::{self, FileError};

use crate::contract::{AdoptError, MachineHandle};

/// Format that is written now.
pub const FORMAT_VERSION: u32 = 1;

/// Name of the file in a machine's state directory.
pub const HANDLE_FILE: &str = "machine.json";

/// Why a handle could not be read.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// The file could not be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not a handle.
    #[error("`{}` does not describe a machine", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

/// Returns the handle in a state directory; `None` when no machine was started from it.
///
/// # Errors
/// [`HandleError`]; a handle that cannot be read does not mean that there is no machine: see [`crate::orphans`].
pub fn load(state_directory: &Path) -> Result<Option<MachineHandle>, HandleError> {
    let path = state_directory.join(HANDLE_FILE);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(HandleError::Read { path, source }),
    };
    serde_json::from_slice(&text).map(Some).map_err(|source| HandleError::Parse { path, source })
}

/// Writes the handle so that it appears whole.
pub(crate) fn store(state_directory: &Path, handle: &MachineHandle) -> Result<(), FileError> {
    let text = serde_json::to_vec_pretty(handle).unwrap_or_default();
    files::write_atomic(&state_directory.join(HANDLE_FILE), &text, 0o600)
}

/// Refuses a handle that another version wrote in another format.
pub(crate) fn check_format(handle: &MachineHandle) -> Result<(), AdoptError> {
    match handle.format_version {
        FORMAT_VERSION => Ok(()),
        found => Err(AdoptError::UnknownFormat { found, known: FORMAT_VERSION }),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::contract::{MachineProcess, VmmKind};

    fn handle() -> MachineHandle {
        MachineHandle {
            format_version: FORMAT_VERSION,
            vm: "0123456789abcdef".parse().unwrap(),
            vmm: VmmKind::Qemu,
            process: MachineProcess { pid: 4711, start_ticks: 123_456 },
            companions: vec![MachineProcess { pid: 4710, start_ticks: 123_455 }],
            control_socket: PathBuf::from("/run/banger/x/control.sock"),
            channel_socket: PathBuf::from("/run/banger/x/channel.sock"),
            console_log: PathBuf::from("/var/lib/banger/x/console.log"),
            jail: None,
            pager: None,
        }
    }

    #[test]
    fn a_stored_handle_reads_back_and_a_missing_one_is_none() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(load(directory.path()).unwrap(), None);
        store(directory.path(), &handle()).unwrap();
        assert_eq!(load(directory.path()).unwrap(), Some(handle()));
        std::fs::write(directory.path().join(HANDLE_FILE), "{").unwrap();
        assert!(matches!(load(directory.path()), Err(HandleError::Parse { .. })));
    }

    #[test]
    fn the_first_format_stays_readable() {
        let frozen = include_str!("../testdata/machine-1.json");
        assert_eq!(serde_json::from_str::<MachineHandle>(frozen).unwrap(), handle());
    }

    #[test]
    fn a_handle_of_the_future_is_refused() {
        let future = MachineHandle { format_version: 2, ..handle() };
        assert!(matches!(check_format(&future), Err(AdoptError::UnknownFormat { found: 2, known: 1 })));
    }
}
