//! Files and directories that appear complete: they are written beside their place, synced, then renamed. A reader sees the
//! old one or the new one, never half of one.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FallocateFlags, OFlags, RenameFlags, fallocate, renameat_with};
use rustix::io::Errno;

use crate::failpoint;
use crate::id::random_hex;

/// The reason why a file or directory was not published.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum FileError {
    /// The temporary sibling could not be made or filled.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The final path.
        path: PathBuf,
        source: io::Error,
    },
    /// The finished sibling could not be moved to its place.
    #[error("cannot move `{}` into place", path.display())]
    Publish {
        /// The final path.
        path: PathBuf,
        source: io::Error,
    },
    /// A directory that must be private belongs to another user, or is a link.
    #[error("`{}` is not a directory owned by this user; move it away", path.display())]
    NotOurs { path: PathBuf },
}

/// Writes a file so that it appears complete, with these permission bits.
///
/// # Errors
/// [`FileError`]; the old file, if any, is untouched.
pub fn write_atomic(path: &Path, content: &[u8], mode: u32) -> Result<(), FileError> {
    let staged = sibling(path);
    failpoint::pass("write file");
    let written =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(&staged).and_then(|mut file| {
            file.set_permissions(Permissions::from_mode(mode))?;
            file.write_all(content)?;
            file.sync_all()
        });
    if let Err(source) = written {
        let _ = fs::remove_file(&staged);
        return Err(FileError::Write { path: path.to_owned(), source });
    }
    publish(&staged, path)
}

/// Opens a file that somebody else has made, for reading. Only a regular file will do: opening a pipe would wait for its other
/// end, and a device never ends.
///
/// # Errors
/// That of the system, or [`io::ErrorKind::InvalidInput`] for what is not a regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_file() {
        return Ok(file);
    }
    let kind = if kind.is_dir() { "a directory" } else { "a pipe, socket or device" };
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {kind}, not a regular file")))
}

/// Allocates this many bytes of the disk for a private file, so that nobody else can take them; its length stays. If the
/// file did not exist and they cannot be allocated, it is removed again. If the file system does not support this, nothing
/// is done.
///
/// # Errors
/// As `open(2)` and `fallocate(2)`.
pub fn allocate(path: &Path, bytes: u64) -> io::Result<()> {
    let was_there = path.exists();
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    match fallocate(&file, FallocateFlags::KEEP_SIZE, 0, bytes) {
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        Err(errno) => {
            if !was_there {
                let _ = fs::remove_file(path);
            }
            Err(errno.into())
        }
    }
}

/// Renames a finished sibling into its place and makes the rename durable.
///
/// # Errors
/// [`FileError::Publish`]; the sibling is removed.
pub fn publish(staged: &Path, path: &Path) -> Result<(), FileError> {
    failpoint::pass("rename file");
    let renamed = fs::rename(staged, path).and_then(|()| sync_parent(path));
    failpoint::pass("file renamed");
    renamed.map_err(|source| {
        let _ = remove_any(staged);
        FileError::Publish { path: path.to_owned(), source }
    })
}

/// Makes the names in a path's directory durable.
///
/// # Errors
/// As `fsync(2)`.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

/// Returns an unused staging name beside `path`: hidden, and recognised by [`is_staging`].
#[must_use]
pub fn sibling(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.staging", random_hex::<6>()))
}

/// Tells whether a name was made by [`sibling`]. Such a file is a leftover if its maker has died.
#[must_use]
pub fn is_staging(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(".staging")
}

/// Removes the partial files that dead processes have left in a directory. Call this only while nobody writes there.
///
/// # Errors
/// As the file system reports; a missing directory counts as empty.
pub fn sweep_staging(directory: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(is_staging) {
            remove_any(&entry.path())?;
        }
    }
    Ok(())
}

/// A directory that is being filled beside its place. Dropping it removes whatever has its temporary name: the unfinished
/// directory, or the older one that [`StagedDirectory::publish`] moved there.
#[derive(Debug)]
pub struct StagedDirectory {
    staged: PathBuf,
    place: PathBuf,
}

impl StagedDirectory {
    /// Makes an empty directory (0700) beside `place`.
    ///
    /// # Errors
    /// [`FileError::Write`].
    pub fn create(place: &Path) -> Result<Self, FileError> {
        let staged = sibling(place);
        fs::DirBuilder::new()
            .mode(0o700)
            .recursive(true)
            .create(&staged)
            .map_err(|source| FileError::Write { path: place.to_owned(), source })?;
        Ok(Self { staged, place: place.to_owned() })
    }

    /// Returns the path to which the content is written until it is published.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.staged
    }

    /// Syncs every file, then moves the directory to its place. If the place is taken, the two are exchanged in one step, so
    /// that either the older or the new one is there at every moment; the older one is removed afterwards.
    ///
    /// # Errors
    /// [`FileError`]; the older directory is still in its place then.
    pub fn publish(self) -> Result<(), FileError> {
        sync_tree(&self.staged).map_err(|source| FileError::Write { path: self.place.clone(), source })?;
        let failed = |source| FileError::Publish { path: self.place.clone(), source };
        failpoint::pass("publish directory");
        match exchange(&self.staged, &self.place) {
            Ok(()) => sync_parent(&self.place).map_err(|source| {
                let _ = exchange(&self.staged, &self.place);
                failed(source)
            }),
            Err(Errno::NOENT) => {
                fs::rename(&self.staged, &self.place).and_then(|()| sync_parent(&self.place)).map_err(failed)
            }
            // Some network file systems cannot exchange: a moment without either directory is better than a refusal.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                replace_in_two_steps(&self.staged, &self.place).map_err(failed)
            }
            Err(errno) => Err(failed(errno.into())),
        }
    }
}

impl Drop for StagedDirectory {
    fn drop(&mut self) {
        let _ = remove_any(&self.staged);
    }
}

fn exchange(one: &Path, other: &Path) -> Result<(), Errno> {
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)
}

/// Moves the older directory aside, then renames the new one into its place. After a failure the older one is restored.
fn replace_in_two_steps(staged: &Path, place: &Path) -> io::Result<()> {
    let aside = sibling(place);
    fs::rename(place, &aside)?;
    if let Err(error) = fs::rename(staged, place) {
        let _ = fs::rename(&aside, place);
        return Err(error);
    }
    sync_parent(place)?;
    let _ = remove_any(&aside);
    Ok(())
}

/// Makes a directory (with its parents) that only this user may enter.
///
/// # Errors
/// [`FileError::NotOurs`] if the path is a link or belongs to another user, [`FileError::Write`] otherwise.
pub fn create_private_directory(path: &Path) -> Result<(), FileError> {
    failpoint::pass("make directory");
    let failed = |source| FileError::Write { path: path.to_owned(), source };
    fs::DirBuilder::new().mode(0o700).recursive(true).create(path).map_err(failed)?;
    let metadata = fs::symlink_metadata(path).map_err(failed)?;
    if !metadata.is_dir() || metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(FileError::NotOurs { path: path.to_owned() });
    }
    if metadata.mode() & 0o777 != 0o700 {
        fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(failed)?;
    }
    Ok(())
}

/// Removes a file or a whole directory. It is not an error if it does not exist. Links are not followed.
///
/// # Errors
/// As the file system reports.
pub fn remove_any(path: &Path) -> io::Result<()> {
    let gone_is_fine = |result: io::Result<()>| match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    failpoint::pass("remove");
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => gone_is_fine(fs::remove_dir_all(path)),
        Ok(_) => gone_is_fine(fs::remove_file(path)),
        Err(error) => gone_is_fine(Err(error)),
    };
    failpoint::pass("removed");
    removed
}

/// Removes a directory so that a reader sees all of it or nothing: it is moved out of its place in one step, then deleted
/// piece by piece. Returns whether it existed. A crash in between leaves a name that [`is_staging`] recognises.
///
/// # Errors
/// As the file system reports; the directory is then either in its place or gone from it.
pub fn remove_whole(path: &Path) -> io::Result<bool> {
    let aside = sibling(path);
    match fs::rename(path, &aside) {
        Ok(()) => {
            sync_parent(path)?;
            remove_any(&aside).map(|()| true)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn sync_tree(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            sync_tree(&entry.path())?;
        } else if kind.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn only_a_regular_file_is_opened_and_a_pipe_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        rustix::fs::mknodat(CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        for other in [&pipe, directory.path(), Path::new("/dev/zero")] {
            assert_eq!(
                open_regular(other).unwrap_err().kind(),
                io::ErrorKind::InvalidInput,
                "{}",
                other.display()
            );
        }
        let file = directory.path().join("file");
        fs::write(&file, "content").unwrap();
        assert_eq!(io::read_to_string(open_regular(&file).unwrap()).unwrap(), "content");
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(io::read_to_string(open_regular(&link).unwrap()).unwrap(), "content");
    }

    #[test]
    fn a_written_file_has_its_mode_and_leaves_no_sibling() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("manifest.json");
        write_atomic(&path, b"old", 0o600).unwrap();
        write_atomic(&path, b"new", 0o644).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o644);
        assert_eq!(names(directory.path()), ["manifest.json"]);
    }

    #[test]
    fn allocated_bytes_are_taken_from_the_disk_and_change_nothing_in_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("reserve");
        allocate(&path, 1 << 20).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!((metadata.len(), metadata.mode() & 0o777), (0, 0o600));
        assert!(metadata.blocks() * 512 >= 1 << 20, "{metadata:?}");
        fs::write(&path, "content").unwrap();
        allocate(&path, 2 << 20).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"content");
        let other = directory.path().join("huge");
        assert!(allocate(&other, 1 << 62).is_err() && !other.exists());
    }

    #[test]
    fn a_file_that_cannot_take_its_place_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("taken");
        fs::create_dir(&place).unwrap();
        assert!(matches!(write_atomic(&place, b"x", 0o600), Err(FileError::Publish { .. })));
        assert_eq!(names(directory.path()), ["taken"]);
    }

    #[test]
    fn a_sweep_removes_what_is_half_written_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(sibling(&directory.path().join("machine.json")), "{").unwrap();
        fs::write(directory.path().join("machine.json"), "{}").unwrap();
        sweep_staging(directory.path()).unwrap();
        assert_eq!(names(directory.path()), ["machine.json"]);
        sweep_staging(&directory.path().join("missing")).unwrap();
    }

    #[test]
    fn a_dropped_directory_leaves_nothing_and_a_published_one_replaces_the_older() {
        let home = tempfile::tempdir().unwrap();
        let place = home.path().join("kernel");
        drop(StagedDirectory::create(&place).unwrap());
        assert_eq!(names(home.path()), [""; 0]);
        for content in ["first", "second"] {
            let staged = StagedDirectory::create(&place).unwrap();
            fs::write(staged.path().join("vmlinuz"), content).unwrap();
            staged.publish().unwrap();
            assert_eq!(fs::read_to_string(place.join("vmlinuz")).unwrap(), content);
        }
        assert_eq!(names(home.path()), ["kernel"]);
    }

    #[test]
    fn a_reader_finds_the_older_directory_or_the_new_one_at_every_moment() {
        let home = tempfile::tempdir().unwrap();
        let place = home.path().join("kernel");
        let put = |content: &str| {
            let staged = StagedDirectory::create(&place).unwrap();
            fs::write(staged.path().join("manifest.json"), content).unwrap();
            staged.publish().unwrap();
        };
        put("first");
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    let before = fs::metadata(&place).unwrap().ino();
                    match fs::read_to_string(place.join("manifest.json")) {
                        Ok(content) => assert!(["first", "second"].contains(&content.as_str()), "{content}"),
                        // It was replaced and removed between two lookups of the path.
                        Err(error) => assert_ne!(fs::metadata(&place).unwrap().ino(), before, "{error}"),
                    }
                }
            });
            for _ in 0..200 {
                put("second");
                put("first");
            }
            is_done.store(true, Ordering::Relaxed);
        });
        assert_eq!(names(home.path()), ["kernel"]);
    }

    #[test]
    fn where_nothing_can_be_exchanged_the_older_directory_is_replaced_all_the_same() {
        let home = tempfile::tempdir().unwrap();
        let (place, staged) = (home.path().join("kernel"), home.path().join("new"));
        for directory in [&place, &staged] {
            fs::create_dir(directory).unwrap();
            fs::write(directory.join("name"), directory.file_name().unwrap().as_encoded_bytes()).unwrap();
        }
        replace_in_two_steps(&staged, &place).unwrap();
        assert_eq!(fs::read_to_string(place.join("name")).unwrap(), "new");
        assert!(replace_in_two_steps(&staged, &place).is_err(), "there is nothing to put there any more");
        assert_eq!(fs::read_to_string(place.join("name")).unwrap(), "new");
        assert_eq!(names(home.path()), ["kernel"]);
    }

    #[test]
    fn what_is_removed_whole_is_gone_and_leaves_nothing_and_a_reader_never_sees_a_part_of_it() {
        let home = tempfile::tempdir().unwrap();
        let place = home.path().join("kernel");
        assert!(!remove_whole(&place).unwrap());
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    let Ok(opened) = File::open(&place) else { continue };
                    let first = rustix::fs::statat(&opened, "first", rustix::fs::AtFlags::empty());
                    let is_there = fs::metadata(&place).is_ok_and(|now| {
                        opened
                            .metadata()
                            .is_ok_and(|opened| (now.dev(), now.ino()) == (opened.dev(), opened.ino()))
                    });
                    assert!(first.is_ok() || !is_there);
                }
            });
            for _ in 0..500 {
                let staged = StagedDirectory::create(&place).unwrap();
                for name in ["first", "second"] {
                    fs::write(staged.path().join(name), name).unwrap();
                }
                fs::rename(staged.path(), &place).unwrap();
                assert!(remove_whole(&place).unwrap());
            }
            is_done.store(true, Ordering::Relaxed);
        });
        assert_eq!(names(home.path()), [""; 0]);
    }

    #[test]
    fn a_private_directory_is_closed_and_never_a_link() {
        let home = tempfile::tempdir().unwrap();
        let open = home.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
        create_private_directory(&open).unwrap();
        assert_eq!(fs::metadata(&open).unwrap().mode() & 0o777, 0o700);
        let link = home.path().join("link");
        std::os::unix::fs::symlink(&open, &link).unwrap();
        assert!(matches!(create_private_directory(&link), Err(FileError::NotOurs { .. })));
    }
}
