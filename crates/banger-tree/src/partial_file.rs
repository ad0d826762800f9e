//! A file that is being written: it gets its final name only when it is complete.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::EntryName;

/// How often an unused temporary name is tried.
const TRIES_MAX: usize = 16;

/// An entry under a temporary name; dropping it removes the entry.
#[derive(Debug)]
pub(crate) struct Partial {
    directory: OwnedFd,
    temporary: EntryName,
    is_placed: bool,
}

impl Partial {
    /// Makes an entry under a temporary name in a directory, with `make`.
    pub(crate) fn make<T>(
        directory: BorrowedFd<'_>,
        make: impl Fn(BorrowedFd<'_>, &EntryName) -> Result<T, Errno>,
    ) -> Result<(Self, T), Errno> {
        let directory = directory
            .try_clone_to_owned()
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        for _ in 0..TRIES_MAX {
            let random = RandomState::new().build_hasher().finish();
            let Ok(temporary) = EntryName::new(format!(".banger-{random:016x}").as_bytes()) else { break };
            match make(directory.as_fd(), &temporary) {
                Ok(entry) => return Ok((Self { directory, temporary, is_placed: false }, entry)),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
        }
        Err(Errno::EXIST)
    }

    /// Gives the entry its name, replacing a file or link of that name.
    pub(crate) fn place(mut self, name: &EntryName) -> Result<(), PlaceError> {
        let directory = &self.directory;
        match rustix::fs::statat(directory, name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile | FileType::Symlink => {}
                // A device must not be replaced by a file, because the device would be gone for everybody.
                kind => return Err(PlaceError::Occupied(kind)),
            },
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(PlaceError::Rename(errno)),
        }
        rustix::fs::renameat(directory, self.temporary.as_c_str(), directory, name.as_c_str())
            .map_err(PlaceError::Rename)?;
        self.is_placed = true;
        Ok(())
    }

    pub(crate) fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    pub(crate) fn temporary(&self) -> &EntryName {
        &self.temporary
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.is_placed {
            let _ = rustix::fs::unlinkat(&self.directory, self.temporary.as_c_str(), AtFlags::empty());
        }
    }
}

/// The reason why an entry did not get its name.
#[derive(Debug)]
pub(crate) enum PlaceError {
    /// The name belongs to an entry of another kind, which stays.
    Occupied(FileType),
    Rename(Errno),
}

/// Makes an empty file that only its owner may read.
pub(crate) fn create(directory: BorrowedFd<'_>, name: &EntryName) -> Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(directory, name.as_c_str(), flags, Mode::from_raw_mode(0o600))
}
