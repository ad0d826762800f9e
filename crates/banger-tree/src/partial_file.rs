//! A file that is being written: it gets its final name only when it is complete. Until then it has no name at all, so that
//! nothing is left of it however its writer ends. Where the file system does not have that, it has a temporary name and is
//! locked; a later copy to the same directory removes those that nobody has locked.

use std::collections::hash_map::RandomState;
use std::ffi::CStr;
use std::hash::{BuildHasher as _, Hasher as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, Dir, FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::EntryName;

/// How often an unused temporary name is tried.
const TRIES_MAX: usize = 16;
/// How temporary names begin; 16 hexadecimal digits follow.
const PREFIX: &str = ".banger-";

/// A file that is being written; dropping it removes the file.
#[derive(Debug)]
pub(crate) struct PartialFile {
    fd: OwnedFd,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// It has no name in this directory.
    Unnamed(OwnedFd),
    Named(Partial),
}

impl PartialFile {
    /// Makes an empty file that only its owner may read.
    pub(crate) fn create(directory: BorrowedFd<'_>) -> Result<Self, Errno> {
        if let Some(fd) = create_unnamed(directory) {
            return Ok(Self { fd, place: Place::Unnamed(owned(directory)?) });
        }
        let (partial, fd) = Partial::make(directory, create_named)?;
        Ok(Self { fd, place: Place::Named(partial) })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Gives the file its name, replacing a file or link of that name.
    pub(crate) fn place(self, name: &EntryName) -> Result<(), PlaceError> {
        // Open, and thereby locked, until it has its final name.
        let Self { fd, place } = self;
        let partial = match place {
            Place::Named(partial) => partial,
            // `linkat` does not replace a file, but `renameat` does.
            Place::Unnamed(directory) => {
                let from = entry_in_proc(&fd);
                let link = |directory: BorrowedFd<'_>, temporary: &EntryName| {
                    let name = temporary.as_c_str();
                    rustix::fs::linkat(CWD, from.as_str(), directory, name, AtFlags::SYMLINK_FOLLOW)
                };
                Partial::make(directory.as_fd(), link).map_err(PlaceError::Rename)?.0
            }
        };
        partial.place(name)
    }
}

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
        let directory = owned(directory)?;
        for _ in 0..TRIES_MAX {
            let random = RandomState::new().build_hasher().finish();
            let Ok(temporary) = EntryName::new(format!("{PREFIX}{random:016x}").as_bytes()) else { break };
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

/// Removes the temporary files in a directory that this user's writers have left, because they were killed. On a failure
/// they stay: the copy does not depend on it.
pub(crate) fn remove_abandoned(directory: BorrowedFd<'_>) {
    let Ok(entries) = Dir::read_from(directory) else { return };
    for entry in entries.flatten().filter(|entry| is_temporary(entry.file_name())) {
        let _ = remove_unless_locked(directory, entry.file_name());
    }
}

fn remove_unless_locked(directory: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(directory, name, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&fd)?;
    let is_ours = stat.st_uid == rustix::process::geteuid().as_raw();
    if !is_ours || FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(());
    }
    rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive)?;
    rustix::fs::unlinkat(directory, name, AtFlags::empty())
}

fn is_temporary(name: &CStr) -> bool {
    let digits = name.to_bytes().strip_prefix(PREFIX.as_bytes());
    digits.is_some_and(|digits| digits.len() == 16 && digits.iter().all(u8::is_ascii_hexdigit))
}

/// Makes a file without a name; `None` where it could not be made or not be given a name later.
fn create_unnamed(directory: BorrowedFd<'_>) -> Option<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(directory, c".", flags, Mode::from_raw_mode(0o600)).ok()?;
    // It gets its name through its entry in /proc, which may not be mounted.
    let identity = |stat: Stat| (stat.st_dev, stat.st_ino);
    let seen = rustix::fs::stat(entry_in_proc(&fd)).ok().map(identity)?;
    // Locked for the moment in which it has a temporary name.
    let _ = rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive);
    (rustix::fs::fstat(&fd).ok().map(identity)? == seen).then_some(fd)
}

fn create_named(directory: BorrowedFd<'_>, name: &EntryName) -> Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(directory, name.as_c_str(), flags, Mode::from_raw_mode(0o600))?;
    let locked = rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive);
    // Another copy took it for an abandoned one before it was locked: the next name is tried.
    if locked == Err(Errno::WOULDBLOCK) || rustix::fs::fstat(&fd)?.st_nlink == 0 {
        return Err(Errno::EXIST);
    }
    Ok(fd)
}

fn entry_in_proc(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

fn owned(directory: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    directory.try_clone_to_owned().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn a_file_has_no_name_until_it_is_placed_and_replaces_another() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("name");
        fs::write(&place, "old").unwrap();
        let open = fs::File::open(directory.path()).unwrap();
        let partial = PartialFile::create(open.as_fd()).unwrap();
        rustix::io::write(partial.fd(), b"new").unwrap();
        if matches!(partial.place, Place::Unnamed(_)) {
            assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        }
        partial.place(&EntryName::new(b"name").unwrap()).unwrap();
        assert_eq!(fs::read_to_string(&place).unwrap(), "new");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn only_abandoned_files_with_our_names_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        let open = fs::File::open(directory.path()).unwrap();
        let (_written, _fd) = Partial::make(open.as_fd(), create_named).unwrap();
        let kept = [".banger-1", ".banger-0123456789abcdex", "0123456789abcdef"];
        for name in kept {
            fs::write(directory.path().join(name), "x").unwrap();
        }
        fs::create_dir(directory.path().join(".banger-00000000000000dd")).unwrap();
        fs::write(directory.path().join(".banger-0123456789abcdef"), "left").unwrap();
        remove_abandoned(open.as_fd());
        assert!(!directory.path().join(".banger-0123456789abcdef").exists());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), kept.len() + 2);
    }
}
