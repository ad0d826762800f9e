//! Writes a tree: from open directory to open directory, without following a link.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use crate::destination::{self, Destination};
use crate::partial_file::{Partial, PartialFile, PlaceError, remove_abandoned};
use crate::reader::kind_text;
use crate::write_error::WriteError;
use crate::{DEPTH_MAX, EntryName, Item, Metadata};

/// Who owns the written entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Owners {
    /// The calling user; the set-user-id, set-group-id and sticky bits are removed.
    #[default]
    Ours,
    /// The original owners, by number; needs root.
    Kept {
        /// Whether the set-user-id, set-group-id and sticky bits are kept as well.
        special_bits: bool,
    },
}

/// How a tree is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say what the fields are")]
pub struct WriterOptions {
    /// Whether the destination must be an existing directory.
    pub into_directory: bool,
    pub owners: Owners,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Number of files and links.
    pub files: u64,
    /// Bytes of files, without holes.
    pub bytes: u64,
}

/// A tree that is being written. Dropping it removes an incomplete file.
#[derive(Debug)]
pub struct TreeWriter {
    destination: Destination,
    owners: Owners,
    levels: Vec<Level>,
    file: Option<OpenFile>,
    /// The current path, for messages.
    path: PathBuf,
    summary: Summary,
    tops: u64,
    is_whole: bool,
}

#[derive(Debug)]
struct Level {
    fd: OwnedFd,
    /// The metadata that a directory made by us gets when it is left.
    metadata: Option<Metadata>,
    has_name: bool,
}

#[derive(Debug)]
struct OpenFile {
    partial: PartialFile,
    name: EntryName,
    metadata: Metadata,
}

impl TreeWriter {
    /// Opens the destination, with the meaning that it has for `cp`: an existing directory receives entries under their own
    /// names; anything else is the new name of the one entry that arrives.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn open(path: &Path, options: WriterOptions) -> Result<Self, WriteError> {
        let destination = destination::resolve(path, options.into_directory)?;
        let path = destination::top_path(path, &destination);
        match &destination {
            Destination::Inside(fd) | Destination::As { parent: fd, .. } => remove_abandoned(fd.as_fd()),
        }
        Ok(Self {
            destination,
            owners: options.owners,
            levels: Vec::new(),
            file: None,
            path,
            summary: Summary::default(),
            tops: 0,
            is_whole: false,
        })
    }

    /// Writes the next item.
    ///
    /// # Errors
    /// [`WriteError`]; after one, nothing more can be written.
    pub fn take(&mut self, item: Item) -> Result<(), WriteError> {
        if self.is_whole {
            return Err(WriteError::Malformed { what: "something follows its end" });
        }
        match item {
            Item::Data { offset, content } => return self.write(offset, &content),
            Item::FileEnd { size } => return self.end_file(size),
            Item::FileBroken => {
                self.file.take().ok_or(WriteError::Malformed { what: "no file is open" })?;
                self.path.pop();
                return Ok(());
            }
            Item::Skipped(_) => return Ok(()),
            Item::Enter { .. } | Item::Leave | Item::File { .. } | Item::Link { .. } | Item::End => {}
        }
        if self.file.is_some() {
            return Err(WriteError::Malformed { what: "a file has no end" });
        }
        match item {
            Item::Enter { name, metadata } => self.enter(name, metadata),
            Item::Leave => self.leave(),
            Item::File { name, metadata, size: _ } => self.begin_file(name, metadata),
            Item::Link { name, metadata, target } => self.link(name, &metadata, &target),
            Item::End if self.levels.is_empty() => {
                self.is_whole = true;
                Ok(())
            }
            Item::End => Err(WriteError::Malformed { what: "a directory has no end" }),
            Item::Data { .. } | Item::FileEnd { .. } | Item::FileBroken | Item::Skipped(_) => Ok(()),
        }
    }

    /// Ends the tree and returns what was written.
    ///
    /// # Errors
    /// [`WriteError::CutOff`] if the end of the tree did not arrive.
    pub fn finish(self) -> Result<Summary, WriteError> {
        if self.is_whole { Ok(self.summary) } else { Err(WriteError::CutOff) }
    }

    fn enter(&mut self, name: Option<EntryName>, metadata: Option<Metadata>) -> Result<(), WriteError> {
        if self.levels.len() >= DEPTH_MAX {
            return Err(WriteError::TooDeep { path: self.path.clone() });
        }
        let is_top = self.levels.is_empty();
        let level = match (&self.destination, name) {
            (Destination::Inside(fd), None) if is_top => {
                let fd = fd.try_clone().map_err(|error| WriteError::Open {
                    path: self.path.clone(),
                    source: Errno::from_io_error(&error).unwrap_or(Errno::IO),
                })?;
                Level { fd, metadata: None, has_name: false }
            }
            (Destination::As { parent, name, .. }, None) if is_top => {
                self.path.push(std::ffi::OsStr::from_bytes(name.as_bytes()));
                open_level(parent.as_fd(), name, metadata, &self.path)?
            }
            (_, None) => return Err(WriteError::Malformed { what: "a directory has no name" }),
            (_, Some(name)) => {
                let (parent, name) = self.place(name, true)?;
                let path = self.path.join(std::ffi::OsStr::from_bytes(name.as_bytes()));
                let level = open_level(parent, &name, metadata, &path)?;
                self.path = path;
                level
            }
        };
        self.note_top(is_top)?;
        self.levels.push(level);
        Ok(())
    }

    fn leave(&mut self) -> Result<(), WriteError> {
        let level = self.levels.pop().ok_or(WriteError::Malformed { what: "a directory ends twice" })?;
        if let Some(metadata) = &level.metadata {
            self.set_metadata(level.fd.as_fd(), metadata)?;
        }
        if level.has_name {
            self.path.pop();
        }
        Ok(())
    }

    fn begin_file(&mut self, name: EntryName, metadata: Metadata) -> Result<(), WriteError> {
        let is_top = self.levels.is_empty();
        let (directory, name) = self.place(name, false)?;
        let made = PartialFile::create(directory);
        self.path.push(std::ffi::OsStr::from_bytes(name.as_bytes()));
        let partial = made.map_err(|source| self.write_error(source))?;
        self.note_top(is_top)?;
        self.file = Some(OpenFile { partial, name, metadata });
        Ok(())
    }

    fn write(&mut self, mut offset: u64, content: &Bytes) -> Result<(), WriteError> {
        let file = self.file.as_ref().ok_or(WriteError::Malformed { what: "bytes belong to no file" })?;
        let mut rest: &[u8] = content;
        while !rest.is_empty() {
            match rustix::io::pwrite(file.partial.fd(), rest, offset) {
                Ok(0) => return Err(self.write_error(Errno::IO)),
                Ok(count) => {
                    rest = rest.get(count..).unwrap_or_default();
                    offset = offset.saturating_add(count as u64);
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.write_error(errno)),
            }
        }
        self.summary.bytes = self.summary.bytes.saturating_add(content.len() as u64);
        Ok(())
    }

    fn end_file(&mut self, size: u64) -> Result<(), WriteError> {
        let file = self.file.take().ok_or(WriteError::Malformed { what: "no file is open" })?;
        // The range after the last bytes is a hole.
        rustix::fs::ftruncate(file.partial.fd(), size).map_err(|source| self.write_error(source))?;
        self.set_metadata(file.partial.fd(), &file.metadata)?;
        self.note_placed(file.partial.place(&file.name))?;
        self.path.pop();
        Ok(())
    }

    fn link(&mut self, name: EntryName, metadata: &Metadata, target: &[u8]) -> Result<(), WriteError> {
        let is_top = self.levels.is_empty();
        let (directory, name) = self.place(name, false)?;
        let made = Partial::make(directory, |directory, temporary| {
            rustix::fs::symlinkat(target, directory, temporary.as_c_str())
        });
        self.path.push(std::ffi::OsStr::from_bytes(name.as_bytes()));
        let (partial, ()) = made.map_err(|source| self.write_error(source))?;
        self.note_top(is_top)?;
        let metadata_error = |source| WriteError::SetMetadata { path: self.path.clone(), source };
        let temporary = partial.temporary().as_c_str();
        if let Owners::Kept { .. } = self.owners {
            let (uid, gid) = owner(metadata);
            rustix::fs::chownat(partial.directory(), temporary, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(metadata_error)?;
        }
        let times = metadata.timestamps();
        rustix::fs::utimensat(partial.directory(), temporary, &times, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(metadata_error)?;
        self.note_placed(partial.place(&name))?;
        self.path.pop();
        Ok(())
    }

    fn note_placed(&mut self, placed: Result<(), PlaceError>) -> Result<(), WriteError> {
        placed.map_err(|error| match error {
            PlaceError::Occupied(kind) => {
                WriteError::Occupied { path: self.path.clone(), kind: kind_text(kind) }
            }
            PlaceError::Rename(source) => self.write_error(source),
        })?;
        self.summary.files += 1;
        Ok(())
    }

    /// Returns the directory for an entry, and the entry's name in it.
    fn place(&self, name: EntryName, is_directory: bool) -> Result<(BorrowedFd<'_>, EntryName), WriteError> {
        if let Some(level) = self.levels.last() {
            return Ok((level.fd.as_fd(), name));
        }
        match &self.destination {
            Destination::Inside(fd) => Ok((fd.as_fd(), name)),
            Destination::As { parent, name, must_be_directory } => {
                if *must_be_directory && !is_directory {
                    let path = self.path.join(std::ffi::OsStr::from_bytes(name.as_bytes()));
                    return Err(WriteError::NoDirectory { path });
                }
                Ok((parent.as_fd(), name.clone()))
            }
        }
    }

    /// The caller's name is for one entry only.
    fn note_top(&mut self, is_top: bool) -> Result<(), WriteError> {
        if is_top {
            self.tops += 1;
            if self.tops > 1 && matches!(self.destination, Destination::As { .. }) {
                return Err(WriteError::Malformed { what: "several things would get the same name" });
            }
        }
        Ok(())
    }

    fn set_metadata(&self, fd: BorrowedFd<'_>, metadata: &Metadata) -> Result<(), WriteError> {
        set_metadata(fd, metadata, self.owners)
            .map_err(|source| WriteError::SetMetadata { path: self.path.clone(), source })
    }

    fn write_error(&self, source: Errno) -> WriteError {
        WriteError::Write { path: self.path.clone(), source }
    }
}

impl Drop for TreeWriter {
    fn drop(&mut self) {
        // An incomplete tree leaves directories that can be entered and removed like any others.
        for level in self.levels.drain(..).rev() {
            if let Some(metadata) = &level.metadata {
                let _ = set_metadata(level.fd.as_fd(), metadata, self.owners);
            }
        }
    }
}

/// Makes a directory, or uses the existing one unchanged.
fn open_level(
    parent: BorrowedFd<'_>,
    name: &EntryName,
    metadata: Option<Metadata>,
    path: &Path,
) -> Result<Level, WriteError> {
    // No other user can look into it before it has its own permissions.
    let mode = if metadata.is_some() { 0o700 } else { 0o755 };
    let is_new = match rustix::fs::mkdirat(parent, name.as_c_str(), Mode::from_raw_mode(mode)) {
        Ok(()) => true,
        Err(Errno::EXIST) => false,
        Err(source) => return Err(WriteError::MakeDirectory { path: path.to_owned(), source }),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd =
        rustix::fs::openat(parent, name.as_c_str(), flags, Mode::empty()).map_err(|source| match source {
            Errno::NOTDIR | Errno::LOOP => WriteError::NoDirectoryThere { path: path.to_owned() },
            source => WriteError::Open { path: path.to_owned(), source },
        })?;
    if !is_new {
        remove_abandoned(fd.as_fd());
    }
    Ok(Level { fd, metadata: metadata.filter(|_| is_new), has_name: true })
}

fn set_metadata(fd: BorrowedFd<'_>, metadata: &Metadata, owners: Owners) -> Result<(), Errno> {
    let bits = match owners {
        Owners::Kept { special_bits: true } => 0o7777,
        Owners::Kept { special_bits: false } | Owners::Ours => 0o777,
    };
    if let Owners::Kept { .. } = owners {
        let (uid, gid) = owner(metadata);
        rustix::fs::fchown(fd, uid, gid)?;
    }
    // The mode is set after the owner, because a change of owner clears bits.
    rustix::fs::fchmod(fd, Mode::from_raw_mode(metadata.mode & bits))?;
    rustix::fs::futimens(fd, &metadata.timestamps())
}

fn owner(metadata: &Metadata) -> (Option<Uid>, Option<Gid>) {
    // An ID of all ones means "unchanged" to the kernel.
    let known = |id: u32| (id != u32::MAX).then_some(id);
    (known(metadata.uid).map(Uid::from_raw), known(metadata.gid).map(Gid::from_raw))
}
