//! An archive on standard input (`docker save app | banger image pull docker-archive:-`), as a file that the daemon can
//! open: it is written to a file without a name, which is gone when this process is. A file on standard input is used as
//! it is.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use banger_api::{DaemonInfo, route};
use banger_model::{BelowFloor, DiskFloor, DiskRoom};
use banger_sys::files::{create_private_directory, sibling};
use banger_sys::host::disk_space;
use banger_sys::paths::Paths;
use rustix::fs::OFlags;

use crate::ensure::ensure;
use crate::error::CliError;
use crate::interruption::undone;
use crate::progress::{Bar, Board};
use crate::render::{bytes, say};
use crate::signals::Signals;
use crate::stdio::Input;

/// How much may be written before the free space is looked at again.
const LOOK_BYTES: u64 = 64 << 20;
/// Sources with a path; `-` in its place is standard input.
const SOURCES: [&str; 3] = ["docker-archive:", "oci-archive:", "oci:"];

/// Why standard input cannot be pulled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveInputError {
    #[error("standard input is a terminal, and an archive is expected")]
    Terminal,
    #[error("standard input is empty, and an archive is expected")]
    Empty,
    #[error("an archive on standard input is pulled by itself, before VMs are made of it")]
    NotHere,
    #[error("cannot read standard input")]
    Read(#[source] io::Error),
    #[error("cannot keep the archive on standard input")]
    Room(#[source] BelowFloor),
    #[error("cannot keep the archive on standard input in `{}`", path.display())]
    Write { path: PathBuf, source: io::Error },
}

impl From<ArchiveInputError> for CliError {
    fn from(error: ArchiveInputError) -> Self {
        let hint = error.hint();
        Self::failed(error).with_hint(hint)
    }
}

impl ArchiveInputError {
    /// What to type or do next, where that is known.
    fn hint(&self) -> Option<String> {
        match self {
            Self::Terminal => Some("docker save app | banger image pull docker-archive:-".to_owned()),
            Self::Empty => {
                Some("the command before the pipe has probably failed; see what it said".to_owned())
            }
            Self::NotHere => {
                Some("docker save app | banger image pull docker-archive:- --name app".to_owned())
            }
            Self::Room(_) => Some(BelowFloor::HINT.to_owned()),
            Self::Read(_) | Self::Write { .. } => None,
        }
    }
}

/// Tells whether a source is an archive on standard input.
pub(crate) fn is_standard_input(source: &str) -> bool {
    let path = SOURCES.into_iter().find_map(|prefix| source.strip_prefix(prefix));
    path.is_some_and(|path| path == "-" || path.starts_with("-:"))
}

/// A file with what came through standard input. It has to live until the daemon has read it.
#[derive(Debug)]
pub(crate) struct ArchiveInput {
    /// Nothing where it is standard input itself.
    spooled: Option<File>,
}

impl ArchiveInput {
    /// Returns the path by which the daemon opens it.
    pub(crate) fn path(&self) -> PathBuf {
        let descriptor: RawFd = match &self.spooled {
            Some(file) => file.as_raw_fd(),
            None => io::stdin().as_raw_fd(),
        };
        PathBuf::from(format!("/proc/{}/fd/{descriptor}", std::process::id()))
    }

    /// Reads standard input to its end. A signal ends that, and nothing is left.
    ///
    /// # Errors
    /// [`ArchiveInputError`], or that it was interrupted.
    pub(crate) async fn read(paths: &Paths, board: &Board) -> Result<Self, CliError> {
        if io::stdin().is_terminal() {
            return Err(ArchiveInputError::Terminal.into());
        }
        if is_whole_file().map_err(ArchiveInputError::Read)? {
            return Ok(Self { spooled: None });
        }
        // Asked before the first byte is taken: without a daemon, none need be.
        let info: DaemonInfo = ensure(paths).await?.get(route::SHOW_INFO).await?;
        let floor = info.disk_floor_bytes.map_or(DiskFloor::Share, DiskFloor::Bytes);
        let mut signals = Signals::listen()?;
        let mut spool = Spool::create(&paths.state, floor)?;
        let mut meter = Meter::new(board);
        let mut input = Input::open().map_err(ArchiveInputError::Read)?;
        loop {
            let chunk = tokio::select! {
                chunk = input.next() => chunk,
                stop = signals.next() => {
                    return Err(undone(stop));
                }
            };
            let Some(chunk) = chunk else { break };
            spool.append(&chunk)?;
            meter.show(spool.bytes);
        }
        meter.clear();
        spool.finish().map(|file| Self { spooled: Some(file) }).map_err(Into::into)
    }
}

/// Tells whether standard input is a file that another process can read from its beginning.
fn is_whole_file() -> io::Result<bool> {
    let stdin = io::stdin();
    let path = PathBuf::from(format!("/proc/self/fd/{}", stdin.as_raw_fd()));
    let metadata = fs::metadata(&path)?;
    let is_at_start = rustix::fs::tell(&stdin).is_ok_and(|position| position == 0);
    Ok(metadata.is_file() && metadata.len() > 0 && is_at_start && File::open(&path).is_ok())
}

/// The file that grows.
struct Spool {
    file: File,
    directory: PathBuf,
    floor: DiskFloor,
    bytes: u64,
}

impl Spool {
    fn create(directory: &Path, floor: DiskFloor) -> Result<Self, ArchiveInputError> {
        let created = create_private_directory(directory).map_err(io::Error::other);
        let file = created.and_then(|()| unnamed_file(directory));
        let file = file.map_err(|source| ArchiveInputError::Write { path: directory.to_owned(), source })?;
        let spool = Self { file, directory: directory.to_owned(), floor, bytes: 0 };
        spool.check_room()?;
        Ok(spool)
    }

    fn append(&mut self, chunk: &[u8]) -> Result<(), ArchiveInputError> {
        let after = self.bytes + chunk.len() as u64;
        if self.bytes / LOOK_BYTES != after / LOOK_BYTES {
            self.check_room()?;
        }
        let written = self.file.write_all(chunk);
        written.map_err(|source| ArchiveInputError::Write { path: self.directory.clone(), source })?;
        self.bytes = after;
        Ok(())
    }

    /// Refuses to go on where too little would stay free. A file system that does not tell has room.
    fn check_room(&self) -> Result<(), ArchiveInputError> {
        let Ok(space) = disk_space(&self.directory) else { return Ok(()) };
        let (free_bytes, total_bytes) = (space.free_bytes, space.total_bytes);
        let room = DiskRoom { path: &self.directory, free_bytes, total_bytes };
        self.floor.check(&room, LOOK_BYTES).map_err(ArchiveInputError::Room)
    }

    fn finish(self) -> Result<File, ArchiveInputError> {
        if self.bytes == 0 { Err(ArchiveInputError::Empty) } else { Ok(self.file) }
    }
}

/// Makes a file that has no name, or none any more where the file system cannot do without.
fn unnamed_file(directory: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    let flags = OFlags::TMPFILE.bits().cast_signed();
    if let Ok(file) = options.clone().custom_flags(flags).open(directory) {
        return Ok(file);
    }
    let path = sibling(&directory.join("archive"));
    let file = options.create_new(true).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

/// Shows how much has come.
struct Meter(Option<Bar>);

impl Meter {
    fn new(board: &Board) -> Self {
        match board {
            Board::Live(board) => {
                Self(Some(Bar::add(board, "{spinner} read standard input  {msg}  {elapsed}", true)))
            }
            Board::Plain => {
                say("read standard input");
                Self(None)
            }
            Board::Quiet => Self(None),
        }
    }

    fn show(&self, count: u64) {
        self.0.iter().for_each(|bar| bar.show(&bytes(count)));
    }

    fn clear(&mut self) {
        self.0.take().iter().for_each(Bar::clear);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dash_in_the_place_of_a_path_is_standard_input() {
        for source in ["docker-archive:-", "docker-archive:-:app:1", "oci-archive:-", "oci:-:v1"] {
            assert!(is_standard_input(source), "{source}");
        }
        for source in ["docker-archive:./-", "docker-archive:-.tar", "-", "docker://-", "alpine"] {
            assert!(!is_standard_input(source), "{source}");
        }
    }

    #[test]
    fn what_comes_is_kept_without_a_name_and_can_be_opened_anew() {
        let home = tempfile::tempdir().unwrap();
        let mut spool = Spool::create(home.path(), DiskFloor::Bytes(0)).unwrap();
        spool.append(b"an ").unwrap();
        spool.append(b"archive").unwrap();
        let input = ArchiveInput { spooled: Some(spool.finish().unwrap()) };
        assert_eq!(fs::read_to_string(input.path()).unwrap(), "an archive");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }

    #[test]
    fn nothing_is_taken_that_leaves_too_little_room_and_nothing_at_all_is_no_archive() {
        let home = tempfile::tempdir().unwrap();
        let full = Spool::create(home.path(), DiskFloor::Bytes(u64::MAX / 2));
        assert!(matches!(full.err(), Some(ArchiveInputError::Room(_))));
        let empty = Spool::create(home.path(), DiskFloor::Bytes(0)).unwrap().finish();
        assert!(matches!(empty, Err(ArchiveInputError::Empty)));
    }
}
