//! Reads a tree: depth first, one open descriptor per level; links are read as links.

use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::chunk::FileChunks;
use crate::{DEPTH_MAX, EntryName, Item, Metadata, NameError, Skipped, Top};

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Opened without blocking, because a read from a kernel file system could wait for ever.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// File systems that contain no files of the user: `linux/magic.h` (proc, sysfs, cgroup2, cgroup, debugfs, tracefs,
/// securityfs, pstore, bpf, devpts).
const KERNELS_OWN: [u64; 10] = [
    0x9fa0,
    0x6265_6572,
    0x6367_7270,
    0x0027_e0eb,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0x6165_676c,
    0xcafe_4a11,
    0x1cd1,
];

/// The requested entry cannot be read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum ReadError {
    #[error("there is no `{}`", path.display())]
    Missing { path: PathBuf },
    #[error("cannot read `{}`", path.display())]
    Open { path: PathBuf, source: Errno },
    /// The last component of the path is not a valid name.
    #[error("cannot read `{}`", path.display())]
    Name { path: PathBuf, source: NameError },
    /// The entry is not a file, directory or link.
    #[error("`{}` is {kind}, which cannot be copied", path.display())]
    Kind { path: PathBuf, kind: &'static str },
}

/// A tree that is being read: an iterator over its items, without [`Item::End`].
#[derive(Debug)]
pub struct TreeReader {
    first: Option<Item>,
    levels: Vec<Level>,
    file: Option<FileChunks>,
    /// The current path, for messages.
    path: PathBuf,
}

#[derive(Debug)]
struct Level {
    directory: Dir,
    device: u64,
}

impl TreeReader {
    /// Opens the entry at `path`. A link is read as a link, unless `follow_link` is set or the path ends in `/`. A path that
    /// ends in `.` or `..`, or is `/` alone, means the contents of the directory instead of the directory.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn open(path: &Path, follow_link: bool) -> Result<Self, ReadError> {
        let open_error = |source| match source {
            Errno::NOENT => ReadError::Missing { path: path.to_owned() },
            source => ReadError::Open { path: path.to_owned(), source },
        };
        let flags = if follow_link { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
        let stat = rustix::fs::statat(rustix::fs::CWD, path, flags).map_err(open_error)?;
        let mut reader = Self { first: None, levels: Vec::new(), file: None, path: path.to_owned() };
        let name = Top::of(path, follow_link)
            .map_err(|source| ReadError::Name { path: path.to_owned(), source })?
            .name;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let named = || name.clone().ok_or(ReadError::Missing { path: path.to_owned() });
        // The path is the caller's own, so following its links is what the caller wants.
        let open = |flags: OFlags| {
            let flags = if follow_link { flags.difference(OFlags::NOFOLLOW) } else { flags };
            rustix::fs::open(path, flags, Mode::empty()).map_err(open_error)
        };
        reader.first = Some(match kind {
            FileType::Directory => {
                let (level, stat) = Level::new(open(DIRECTORY)?).map_err(open_error)?;
                reader.levels.push(level);
                Item::Enter { name, metadata: Some(Metadata::of(&stat)) }
            }
            FileType::RegularFile => {
                let (file, stat) = file_chunks(open(FILE)?).map_err(open_error)?;
                reader.file = Some(file);
                Item::File { name: named()?, metadata: Metadata::of(&stat), size: size(&stat) }
            }
            FileType::Symlink => {
                let target = rustix::fs::readlink(path, Vec::new()).map_err(open_error)?;
                Item::Link { name: named()?, metadata: Metadata::of(&stat), target: target.into_bytes() }
            }
            other => return Err(ReadError::Kind { path: path.to_owned(), kind: kind_text(other) }),
        });
        Ok(reader)
    }

    fn read_file(&mut self) -> Item {
        let Some(file) = &mut self.file else { return Item::FileBroken };
        match file.next() {
            Ok(Some((offset, content))) => Item::Data { offset, content },
            Ok(None) => {
                let size = file.size();
                self.file = None;
                self.up();
                Item::FileEnd { size }
            }
            Err(errno) => {
                self.file = None;
                let skipped = self.skipped(format!("cannot be read: {}", words(errno)), true);
                self.up();
                self.first = Some(skipped);
                Item::FileBroken
            }
        }
    }

    /// Continues in the directory that was entered last.
    fn read_directory(&mut self) -> Option<Item> {
        let level = self.levels.last_mut()?;
        loop {
            let entry = match level.directory.next() {
                None => {
                    self.levels.pop();
                    self.up();
                    return Some(Item::Leave);
                }
                Some(Ok(entry)) => entry,
                Some(Err(errno)) => {
                    let skipped =
                        self.skipped(format!("cannot be listed to its end: {}", words(errno)), true);
                    self.levels.pop();
                    self.up();
                    self.first = Some(Item::Leave);
                    return Some(skipped);
                }
            };
            let name = entry.file_name();
            // All entries that the kernel lists are valid names, except these two.
            if let Ok(entry_name) = EntryName::new(name.to_bytes()) {
                self.path.push(std::ffi::OsStr::from_bytes(name.to_bytes()));
                let item = self.read_entry(entry_name);
                return Some(item);
            }
        }
    }

    fn read_entry(&mut self, name: EntryName) -> Item {
        let item = match self.open_entry(name) {
            Ok(item) => item,
            Err(errno) => self.skipped(format!("cannot be read: {}", words(errno)), true),
        };
        if !matches!(item, Item::Enter { .. } | Item::File { .. }) {
            self.up();
        }
        item
    }

    fn open_entry(&mut self, name: EntryName) -> Result<Item, Errno> {
        let Some(level) = self.levels.last() else { return Err(Errno::NOENT) };
        let directory = level.directory.fd()?;
        let stat = rustix::fs::statat(directory, name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW)?;
        let open = |flags: OFlags, name: &CStr| rustix::fs::openat(directory, name, flags, Mode::empty());
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory if self.levels.len() >= DEPTH_MAX => {
                Ok(self.skipped(format!("lies deeper than {DEPTH_MAX} directories"), true))
            }
            FileType::Directory => {
                let (new, stat) = Level::new(open(DIRECTORY, name.as_c_str())?)?;
                if new.device != level.device && new.is_of_kernel()? {
                    return Ok(self.skipped("is a file system of the kernel's own".to_owned(), false));
                }
                self.levels.push(new);
                Ok(Item::Enter { name: Some(name), metadata: Some(Metadata::of(&stat)) })
            }
            FileType::RegularFile => {
                let (file, stat) = file_chunks(open(FILE, name.as_c_str())?)?;
                self.file = Some(file);
                Ok(Item::File { name, metadata: Metadata::of(&stat), size: size(&stat) })
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(directory, name.as_c_str(), Vec::new())?;
                Ok(Item::Link { name, metadata: Metadata::of(&stat), target: target.into_bytes() })
            }
            other => Ok(self.skipped(format!("is {}", kind_text(other)), false)),
        }
    }

    fn skipped(&self, reason: String, is_failure: bool) -> Item {
        let path = self.path.as_os_str().as_bytes().to_vec();
        Item::Skipped(Skipped { path, reason, is_failure })
    }

    fn up(&mut self) {
        self.path.pop();
    }
}

impl Iterator for TreeReader {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        if let Some(item) = self.first.take() {
            return Some(item);
        }
        if self.file.is_some() {
            return Some(self.read_file());
        }
        self.read_directory()
    }
}

impl Level {
    fn new(fd: OwnedFd) -> Result<(Self, Stat), Errno> {
        let stat = rustix::fs::fstat(&fd)?;
        Ok((Self { directory: Dir::new(fd)?, device: stat.st_dev }, stat))
    }

    fn is_of_kernel(&self) -> Result<bool, Errno> {
        let found = rustix::fs::fstatfs(self.directory.fd()?)?;
        Ok(u64::try_from(found.f_type).is_ok_and(|kind| KERNELS_OWN.contains(&kind)))
    }
}

fn file_chunks(fd: OwnedFd) -> Result<(FileChunks, Stat), Errno> {
    let stat = rustix::fs::fstat(&fd)?;
    // It was a regular file when it was listed; it has been replaced since.
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Errno::AGAIN);
    }
    let blocks = u64::try_from(stat.st_blocks).unwrap_or(0);
    Ok((FileChunks::new(fd, size(&stat), blocks), stat))
}

fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

pub(crate) fn kind_text(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "a file",
        FileType::Directory => "a directory",
        FileType::Symlink => "a link",
        FileType::Fifo => "a named pipe",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "of an unknown kind",
    }
}

/// Returns the kernel's text for an error, without its number.
fn words(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    text.rsplit_once(" (os error ").map_or(text.clone(), |(words, _)| words.to_owned())
}
