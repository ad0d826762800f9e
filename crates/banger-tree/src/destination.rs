//! The destination of a tree, resolved as `cp` resolves its last argument.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::EntryName;
use crate::reader::kind_text;
use crate::write_error::WriteError;

/// The destination of the entries at the top of a tree.
#[derive(Debug)]
pub(crate) enum Destination {
    /// An existing directory: entries keep their names in it.
    Inside(OwnedFd),
    /// A single entry, under the caller's name.
    As {
        /// Directory that contains it.
        parent: OwnedFd,
        name: EntryName,
        /// The caller wrote `/` after the name.
        must_be_directory: bool,
    },
}

/// Finds out what `path` means. It is the caller's own path, so links in it are followed.
pub(crate) fn resolve(path: &Path, into_directory: bool) -> Result<Destination, WriteError> {
    let open_error = |source| WriteError::Open { path: path.to_owned(), source };
    match rustix::fs::statat(CWD, path, AtFlags::empty()) {
        Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Ok(Destination::Inside(open_directory(path).map_err(open_error)?)),
            _ if into_directory => Err(WriteError::NotADirectory { path: path.to_owned() }),
            FileType::RegularFile => {
                // Links are resolved: the file that they lead to is replaced, and the links stay.
                let real = std::fs::canonicalize(path)
                    .map_err(|error| open_error(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
                beside(&real, false)
            }
            other => Err(WriteError::Special { path: path.to_owned(), kind: kind_text(other) }),
        },
        Err(Errno::NOENT) if into_directory => Err(WriteError::NoDirectory { path: path.to_owned() }),
        Err(Errno::NOENT) => {
            if rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                return Err(WriteError::DanglingLink { path: path.to_owned() });
            }
            beside(path, path.as_os_str().as_bytes().ends_with(b"/"))
        }
        Err(Errno::NOTDIR) => Err(WriteError::NotADirectory { path: path.to_owned() }),
        Err(source) => Err(open_error(source)),
    }
}

/// A name in an existing directory.
fn beside(path: &Path, must_be_directory: bool) -> Result<Destination, WriteError> {
    let parent = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => Path::new("/"),
    };
    let name = EntryName::new(path.file_name().unwrap_or(OsStr::new("")).as_bytes())
        .map_err(|_name| WriteError::NoDirectory { path: path.to_owned() })?;
    let parent = open_directory(parent).map_err(|source| match source {
        Errno::NOENT | Errno::NOTDIR => WriteError::NoDirectory { path: parent.to_owned() },
        source => WriteError::Open { path: parent.to_owned(), source },
    })?;
    Ok(Destination::As { parent, name, must_be_directory })
}

fn open_directory(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Returns the directory that receives the top entries, for messages.
pub(crate) fn top_path(path: &Path, destination: &Destination) -> PathBuf {
    match destination {
        Destination::Inside(_) => path.to_owned(),
        Destination::As { .. } => path.parent().unwrap_or(Path::new("")).to_owned(),
    }
}
