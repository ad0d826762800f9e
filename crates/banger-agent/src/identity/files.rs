//! Files appear as a whole: they are written beside their place, then renamed. Nothing is written if nothing changes.

use std::{
    fs::{self, Permissions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use crate::rooted;

/// A file cannot be brought into the requested state.
#[derive(Debug, thiserror::Error)]
#[error("cannot write `{}`", path.display())]
pub(super) struct WriteFileError {
    path: PathBuf,
    source: io::Error,
}

/// Makes `path` a regular file with this content and mode. A symbolic link there is replaced, not followed.
pub(super) fn ensure(path: &Path, content: &[u8], mode: u32) -> Result<(), WriteFileError> {
    let failed = |source| WriteFileError { path: path.to_owned(), source };
    if is_plain_with_mode(path, mode) && fs::read(path).is_ok_and(|present| present == content) {
        return Ok(());
    }
    replace(path, content, mode).map_err(failed)
}

/// Makes `path` a directory with this mode.
pub(super) fn ensure_directory(path: &Path, mode: u32) -> Result<(), WriteFileError> {
    let failed = |source| WriteFileError { path: path.to_owned(), source };
    rooted::make_directory(Path::new("/"), path).map_err(failed)?;
    let metadata = fs::metadata(path).map_err(failed)?;
    if metadata.mode() & 0o7777 != mode {
        fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed)?;
    }
    own(path).map_err(failed)
}

/// Changes the owner of the path to root, if we are root.
pub(super) fn own(path: &Path) -> io::Result<()> {
    let metadata = fs::metadata(path)?;
    if rustix::process::geteuid().is_root() && (metadata.uid(), metadata.gid()) != (0, 0) {
        std::os::unix::fs::chown(path, Some(0), Some(0))?;
    }
    Ok(())
}

fn is_plain_with_mode(path: &Path, mode: u32) -> bool {
    fs::symlink_metadata(path).is_ok_and(|m| m.is_file() && m.mode() & 0o7777 == mode && m.uid() == own_uid())
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    rooted::make_directory(Path::new("/"), directory)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = directory.join(format!(".{name}.banger"));
    let _ = fs::remove_file(&beside);
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
        file.write_all(content)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        // Not synced: the host sends the identity again at the next start, and the rename leaves the old or the new file.
        match fs::rename(&beside, path) {
            // Container runtimes leave such files as mount points, which can only be written, not replaced.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => fs::write(path, content),
            outcome => outcome,
        }
    };
    let outcome = write();
    if outcome.is_err() {
        let _ = fs::remove_file(&beside);
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dangling_link_becomes_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("resolv.conf");
        std::os::unix::fs::symlink("../run/nothing", &path).unwrap();
        ensure(&path, b"nameserver 1.1.1.1\n", 0o644).unwrap();
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        assert_eq!(fs::read(&path).unwrap(), b"nameserver 1.1.1.1\n");
    }

    #[test]
    fn a_directory_that_is_a_link_to_nothing_is_made() {
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("persist/etc", directory.path().join("etc")).unwrap();
        ensure(&directory.path().join("etc/hostname"), b"x", 0o644).unwrap();
        assert_eq!(fs::read(directory.path().join("persist/etc/hostname")).unwrap(), b"x");
    }

    #[test]
    fn what_is_right_is_not_touched() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/file");
        ensure(&path, b"x", 0o600).unwrap();
        let before = fs::metadata(&path).unwrap().ino();
        ensure(&path, b"x", 0o600).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().ino(), before);
        ensure(&path, b"x", 0o644).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o644);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
