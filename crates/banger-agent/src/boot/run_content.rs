//! Copies the image's `/run` to the file system in memory that every machine has there: directories such as `/run/mysqld` of
//! the user `mysql`, which exist in a container. If an image has more than a little in it, only the directories are copied,
//! because the files would take the guest's memory.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown, symlink},
    path::{Path, PathBuf},
};

/// Maximum total size of all files in bytes.
const BYTES_MAX: u64 = 4 << 20;
/// Maximum depth of nested directories.
const DEPTH_MAX: usize = 32;

/// Entries that only a running machine has, or that describe the place where the image was built: `/run/systemd/system`
/// alone makes programs believe that systemd runs.
const OF_A_MACHINE: [&str; 4] = ["systemd", "udev", "banger", ".containerenv"];

/// Not everything was copied.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyError {
    #[error("cannot bring along `{}` of the image", path.display())]
    Copy { path: PathBuf, source: io::Error },
    #[error("files of the image's `/run` stay out of sight: they have more than {BYTES_MAX} bytes")]
    TooMuch,
}

/// Copies directories, files and links with owners and modes. Existing entries stay; pipes, sockets and devices are left to
/// the programs that use them.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), CopyError> {
    let mut left = Some(BYTES_MAX);
    copy_directory(from, to, DEPTH_MAX, &mut left)?;
    if left.is_some() { Ok(()) } else { Err(CopyError::TooMuch) }
}

fn copy_directory(from: &Path, to: &Path, depth: usize, left: &mut Option<u64>) -> Result<(), CopyError> {
    let failed = |source| CopyError::Copy { path: from.to_owned(), source };
    for entry in fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if depth == DEPTH_MAX && OF_A_MACHINE.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        let (path, place) = (entry.path(), to.join(entry.file_name()));
        let is_directory = copy_entry(&path, &place, left)
            .map_err(|source| CopyError::Copy { path: path.clone(), source })?;
        if is_directory && depth > 0 {
            copy_directory(&path, &place, depth - 1, left)?;
        }
    }
    Ok(())
}

/// Returns whether the entry is a directory.
fn copy_entry(from: &Path, to: &Path, left: &mut Option<u64>) -> io::Result<bool> {
    let metadata = fs::symlink_metadata(from)?;
    let is_there = fs::symlink_metadata(to).is_ok();
    if metadata.is_dir() {
        if !is_there {
            fs::create_dir(to)?;
            own(to, &metadata)?;
        }
        return Ok(true);
    }
    if is_there {
        return Ok(false);
    }
    if metadata.is_symlink() {
        symlink(fs::read_link(from)?, to)?;
        lchown(to, Some(metadata.uid()), Some(metadata.gid()))?;
    } else if metadata.is_file() {
        *left = left.and_then(|left| left.checked_sub(metadata.len()));
        if left.is_some() {
            fs::copy(from, to)?;
            own(to, &metadata)?;
        }
    }
    Ok(false)
}

fn own(path: &Path, metadata: &fs::Metadata) -> io::Result<()> {
    lchown(path, Some(metadata.uid()), Some(metadata.gid()))?;
    // The mode is set after the owner, because a change of owner clears bits.
    fs::set_permissions(path, fs::Permissions::from_mode(metadata.mode() & 0o7777))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_files_and_links_come_along_with_their_modes() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir_all(from.path().join("mysqld/deep")).unwrap();
        fs::set_permissions(from.path().join("mysqld"), fs::Permissions::from_mode(0o1770)).unwrap();
        fs::write(from.path().join("mysqld/deep/pid"), "7").unwrap();
        fs::write(from.path().join("there"), "image").unwrap();
        symlink("/mysqld", from.path().join("link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(from.path().join("socket")).unwrap();
        fs::write(to.path().join("there"), "machine").unwrap();
        fs::create_dir_all(from.path().join("systemd/system")).unwrap();
        fs::create_dir_all(from.path().join("app/systemd")).unwrap();
        copy(from.path(), to.path()).unwrap();
        assert_eq!(fs::metadata(to.path().join("mysqld")).unwrap().mode() & 0o7777, 0o1770);
        assert_eq!(fs::read_to_string(to.path().join("mysqld/deep/pid")).unwrap(), "7");
        assert_eq!(fs::read_to_string(to.path().join("there")).unwrap(), "machine");
        assert_eq!(fs::read_link(to.path().join("link")).unwrap(), Path::new("/mysqld"));
        assert!(!to.path().join("socket").exists());
        assert!(!to.path().join("systemd").exists() && to.path().join("app/systemd").exists());
    }

    #[test]
    fn what_would_fill_the_memory_stays_behind_but_its_directories_come() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(from.path().join("z")).unwrap();
        fs::File::create(from.path().join("large")).unwrap().set_len(BYTES_MAX + 1).unwrap();
        assert!(matches!(copy(from.path(), to.path()), Err(CopyError::TooMuch)));
        assert!(to.path().join("z").is_dir() && !to.path().join("large").exists());
    }
}
