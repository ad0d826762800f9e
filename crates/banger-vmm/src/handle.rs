//! `machine.json`: what is needed to find a machine again after the daemon went away. The file is bound to its directory: a
//! copy of a state directory must not take the machines of the original for its own.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use banger_sys::files::{self, FileError};

use serde::{Deserialize, Serialize};

use crate::contract::{AdoptError, MachineHandle, StartError};

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
    /// It came here with a copy of the directory that it was written to: the machine, if it runs, is not ours.
    #[error("the machine was started from `{}`", .handle.console_log.parent().unwrap_or(&handle.console_log).display())]
    Elsewhere {
        /// The other one's machine.
        handle: Box<MachineHandle>,
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

/// The file's content.
#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(flatten)]
    handle: MachineHandle,
    /// The directory it was written to; absent in files of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    home: Option<DirectoryIdentity>,
}

/// A directory, whatever its path is now: it can be moved, and a copy of it is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DirectoryIdentity {
    device: u64,
    inode: u64,
}

impl DirectoryIdentity {
    pub(crate) fn of(directory: &Path) -> io::Result<Self> {
        let metadata = std::fs::metadata(directory)?;
        Ok(Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

impl Stored {
    /// Tells whether it was written to another directory that this one is a copy of. An older file tells by its paths: they
    /// lead to another directory, or nowhere when the directory was moved.
    fn is_of_another(&self, directory: &Path) -> bool {
        let Ok(here) = DirectoryIdentity::of(directory) else { return false };
        let written_to = || DirectoryIdentity::of(self.handle.console_log.parent()?).ok();
        self.home.or_else(written_to).is_some_and(|home| home != here)
    }
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
    let stored: Stored =
        serde_json::from_slice(&text).map_err(|source| HandleError::Parse { path, source })?;
    if stored.is_of_another(state_directory) {
        return Err(HandleError::Elsewhere { handle: Box::new(stored.handle) });
    }
    Ok(Some(stored.handle))
}

/// Writes the handle so that it appears whole.
pub(crate) fn store(state_directory: &Path, handle: &MachineHandle) -> Result<(), FileError> {
    let home = DirectoryIdentity::of(state_directory).ok();
    let text = serde_json::to_vec_pretty(&Stored { handle: handle.clone(), home }).unwrap_or_default();
    files::write_atomic(&state_directory.join(HANDLE_FILE), &text, 0o600)
}

/// Writes the handle of a machine that is started, without holding up the runtime.
pub(crate) async fn write(state_directory: &Path, handle: &MachineHandle) -> Result<(), StartError> {
    let (directory, handle) = (state_directory.to_owned(), handle.clone());
    let stored = tokio::task::spawn_blocking(move || store(&directory, &handle)).await;
    let stored = stored.map_err(io::Error::other).and_then(|stored| stored.map_err(io::Error::other));
    stored.map_err(StartError::preparing(&state_directory.join(HANDLE_FILE)))
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
    fn a_handle_that_came_with_a_copy_is_of_another_and_one_that_was_moved_is_not() {
        let home = tempfile::tempdir().unwrap();
        let [original, copy, moved] = ["a", "b", "c"].map(|name| home.path().join(name));
        for directory in [&original, &copy] {
            std::fs::create_dir(directory).unwrap();
        }
        let handle = MachineHandle { console_log: original.join("console.log"), ..handle() };
        store(&original, &handle).unwrap();
        // As this version writes it, and as older ones did.
        let with_home = std::fs::read_to_string(original.join(HANDLE_FILE)).unwrap();
        assert!(with_home.contains("\"inode\""), "{with_home}");
        for text in [with_home, serde_json::to_string(&handle).unwrap()] {
            for directory in [&original, &copy] {
                std::fs::write(directory.join(HANDLE_FILE), &text).unwrap();
            }
            assert_eq!(load(&original).unwrap(), Some(handle.clone()));
            let elsewhere = load(&copy).unwrap_err();
            let told = format!("the machine was started from `{}`", original.display());
            assert_eq!(elsewhere.to_string(), told);
            std::fs::rename(&original, &moved).unwrap();
            assert_eq!(load(&moved).unwrap(), Some(handle.clone()));
            std::fs::rename(&moved, &original).unwrap();
        }
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
