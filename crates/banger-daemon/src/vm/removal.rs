//! Removing a VM's directories, away from the threads that serve others: a large disk takes its time.

use std::io;
use std::path::{Path, PathBuf};

use banger_model::VmId;
use banger_sys::files::remove_any;
use banger_sys::paths::Paths;

use super::VmError;

/// How often a directory is tried in which somebody else still makes files: a process that was just ended.
const ATTEMPTS: usize = 3;

/// Removes a directory with everything in it; one that is not there is removed already.
pub(super) async fn remove_directory(path: PathBuf) -> Result<(), VmError> {
    let failed = |path, source| VmError::Directory { action: "remove", path, source };
    let place = path.clone();
    match tokio::task::spawn_blocking(move || remove_stubbornly(&place)).await {
        Ok(removed) => removed.map_err(|source| failed(path, source)),
        Err(error) => Err(failed(path, io::Error::other(error))),
    }
}

/// Removes the sockets of a VM's machine, also those of a machine that an older version started.
pub(super) async fn remove_sockets(paths: &Paths, vm: &VmId) -> Result<(), VmError> {
    for directory in [paths.vm_sockets(vm.as_str()), paths.vm_runtime(vm.as_str())] {
        remove_directory(directory).await?;
    }
    Ok(())
}

fn remove_stubbornly(path: &Path) -> io::Result<()> {
    let mut removed = remove_any(path);
    for _ in 1..ATTEMPTS {
        match &removed {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => removed = remove_any(path),
            Ok(()) | Err(_) => break,
        }
    }
    removed
}
