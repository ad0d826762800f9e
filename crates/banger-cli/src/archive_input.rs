//! An archive that comes through standard input (`docker save app | banger image pull docker-archive:-`) or a pipe
//! (`docker-archive:<(docker save app)`), as a file that the daemon can open: it is written to a file without a name, which
//! is gone when this process is. A file on standard input is used as it is.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use banger_api::{DaemonInfo, route};
use banger_model::{BelowFloor, DiskFloor, DiskRoom, Hint};
use banger_sys::files::{create_private_directory, sibling};
use banger_sys::host::disk_space;
use banger_sys::paths::Paths;
use rustix::fs::OFlags;

use crate::archive_start::{START_BYTES, may_be_archive};
use crate::ensure::ensure;
use crate::error::CliError;
use crate::hint;
use crate::interruption::undone;
use crate::progress::{Bar, Board};
use crate::render::{bytes, say};
use crate::signals::Signals;
use crate::stdio::Input;
use crate::streamed_source::{Stream, StreamedSource, open_pipe};

/// How much may be written before the free space is looked at again.
const LOOK_BYTES: u64 = 64 << 20;

/// Why an archive that comes as a stream cannot be pulled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveInputError {
    #[error("standard input is a terminal, and an archive is expected")]
    Terminal { prefix: &'static str },
    #[error("{from} is empty, and an archive is expected")]
    Empty { from: Stream },
    #[error("{from} is neither an archive of `docker save` nor an OCI image layout in a tar")]
    NoArchive { from: Stream },
    #[error("an archive from {from} is pulled by itself, before VMs are made of it")]
    NotHere { from: Stream, prefix: &'static str },
    #[error("cannot read {from}")]
    Read { from: Stream, source: io::Error },
    #[error("cannot keep the archive from {from}")]
    Room { from: Stream, source: BelowFloor },
    #[error("cannot keep the archive from {from} in `{}`", path.display())]
    Write { from: Stream, path: PathBuf, source: io::Error },
}

impl From<ArchiveInputError> for CliError {
    fn from(error: ArchiveInputError) -> Self {
        let hint = error.hint();
        Self::failed(error).with_hint(hint)
    }
}

impl ArchiveInputError {
    /// Says why a source is not pulled on the way to something else.
    pub(crate) fn not_here(streamed: StreamedSource) -> Self {
        Self::NotHere { from: streamed.from, prefix: streamed.prefix }
    }

    /// What to type or do next, where that is known.
    fn hint(&self) -> Option<String> {
        match self {
            Self::Terminal { prefix } | Self::NotHere { prefix, .. } => Some(match *prefix {
                "docker-archive:" => format!("docker save app | banger image pull {prefix}- --name app"),
                prefix => {
                    format!("podman save --format oci-archive app | banger image pull {prefix}- --name app")
                }
            }),
            Self::Empty { .. } => Some(hint::EMPTY_PIPE.to_owned()),
            Self::Room { .. } => hint::words(&Hint::FreeSpace),
            Self::NoArchive { .. } | Self::Read { .. } | Self::Write { .. } => None,
        }
    }
}

/// A file with what came as a stream. It has to live until the daemon has read it.
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

    /// Reads the stream to its end. A signal ends that, and nothing is left.
    ///
    /// # Errors
    /// [`ArchiveInputError`], or that it was interrupted.
    pub(crate) async fn read(
        streamed: &StreamedSource,
        paths: &Paths,
        board: &Board,
    ) -> Result<Self, CliError> {
        let from = streamed.from.clone();
        let unreadable = |source| ArchiveInputError::Read { from: from.clone(), source };
        if from == Stream::StandardInput {
            if io::stdin().is_terminal() {
                return Err(ArchiveInputError::Terminal { prefix: streamed.prefix }.into());
            }
            if is_whole_file().map_err(unreadable)? {
                return Ok(Self { spooled: None });
            }
        }
        // Asked before the first byte is taken: without a daemon, none need be.
        let info: DaemonInfo = ensure(paths).await?.get(route::SHOW_INFO).await?;
        let floor = info.disk_floor_bytes.map_or(DiskFloor::Share, DiskFloor::Bytes);
        let mut signals = Signals::listen()?;
        let mut spool = Spool::create(from.clone(), &paths.state, floor)?;
        let mut meter = Meter::new(&from, board);
        let opened = match &from {
            Stream::StandardInput => Input::open(),
            Stream::Pipe(path) => open_pipe(path).and_then(Input::of),
        };
        let mut input = opened.map_err(unreadable)?;
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
    from: Stream,
    /// The beginning, until enough of it is here to be looked at.
    start: Vec<u8>,
    file: File,
    directory: PathBuf,
    floor: DiskFloor,
    bytes: u64,
}

impl Spool {
    fn create(from: Stream, directory: &Path, floor: DiskFloor) -> Result<Self, ArchiveInputError> {
        let created = create_private_directory(directory).map_err(io::Error::other);
        let file = created.and_then(|()| unnamed_file(directory));
        let file = file.map_err(|source| ArchiveInputError::Write {
            from: from.clone(),
            path: directory.to_owned(),
            source,
        })?;
        let spool = Self { from, start: Vec::new(), file, directory: directory.to_owned(), floor, bytes: 0 };
        spool.check_room()?;
        Ok(spool)
    }

    fn append(&mut self, chunk: &[u8]) -> Result<(), ArchiveInputError> {
        if self.start.len() < START_BYTES {
            let missing = START_BYTES - self.start.len();
            self.start.extend_from_slice(chunk.get(..missing).unwrap_or(chunk));
            if self.start.len() == START_BYTES {
                self.check_start()?;
            }
        }
        let after = self.bytes + chunk.len() as u64;
        if self.bytes / LOOK_BYTES != after / LOOK_BYTES {
            self.check_room()?;
        }
        let written = self.file.write_all(chunk);
        written.map_err(|source| ArchiveInputError::Write {
            from: self.from.clone(),
            path: self.directory.clone(),
            source,
        })?;
        self.bytes = after;
        Ok(())
    }

    /// Refuses to go on where too little would stay free. A file system that does not tell has room.
    fn check_room(&self) -> Result<(), ArchiveInputError> {
        let Ok(space) = disk_space(&self.directory) else { return Ok(()) };
        let (free_bytes, total_bytes) = (space.free_bytes, space.total_bytes);
        let room = DiskRoom { path: &self.directory, free_bytes, total_bytes };
        self.floor
            .check(&room, LOOK_BYTES)
            .map_err(|source| ArchiveInputError::Room { from: self.from.clone(), source })
    }

    fn finish(self) -> Result<File, ArchiveInputError> {
        if self.bytes == 0 {
            return Err(ArchiveInputError::Empty { from: self.from });
        }
        self.check_start()?;
        Ok(self.file)
    }

    fn check_start(&self) -> Result<(), ArchiveInputError> {
        if may_be_archive(&self.start) {
            Ok(())
        } else {
            Err(ArchiveInputError::NoArchive { from: self.from.clone() })
        }
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
    fn new(from: &Stream, board: &Board) -> Self {
        match board {
            Board::Live(board) => {
                Self(Some(Bar::add(board, "{spinner} read archive  {msg}  {elapsed}", true)))
            }
            Board::Plain => {
                say(&format!("read {from}"));
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
    fn a_hint_has_the_prefix_that_was_typed() {
        for (text, expected) in [
            ("docker-archive:-", "docker save app | banger image pull docker-archive:- --name app"),
            ("oci:-", "podman save --format oci-archive app | banger image pull oci:- --name app"),
            (
                "oci-archive:-",
                "podman save --format oci-archive app | banger image pull oci-archive:- --name app",
            ),
        ] {
            let streamed = StreamedSource::of(text).unwrap();
            let told = ArchiveInputError::not_here(streamed);
            assert_eq!(told.hint().as_deref(), Some(expected));
        }
    }

    fn spool(home: &Path, floor_bytes: u64) -> Result<Spool, ArchiveInputError> {
        Spool::create(Stream::StandardInput, home, DiskFloor::Bytes(floor_bytes))
    }

    #[test]
    fn what_comes_is_kept_without_a_name_and_can_be_opened_anew() {
        let home = tempfile::tempdir().unwrap();
        let mut spool = spool(home.path(), 0).unwrap();
        spool.append(b"\x1f\x8b ").unwrap();
        spool.append(b"archive").unwrap();
        let input = ArchiveInput { spooled: Some(spool.finish().unwrap()) };
        assert_eq!(fs::read(input.path()).unwrap(), b"\x1f\x8b archive");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }

    #[test]
    fn nothing_is_taken_that_leaves_too_little_room_or_is_no_archive() {
        let home = tempfile::tempdir().unwrap();
        let full = spool(home.path(), u64::MAX / 2);
        assert!(matches!(full.err(), Some(ArchiveInputError::Room { .. })));
        let empty = spool(home.path(), 0).unwrap().finish();
        assert!(matches!(empty, Err(ArchiveInputError::Empty { .. })));
        let mut endless = spool(home.path(), 0).unwrap();
        endless.append(b"y\ny\n").unwrap();
        let told = endless.append(&b"y\n".repeat(1024));
        assert!(matches!(told, Err(ArchiveInputError::NoArchive { .. })), "{told:?}");
        let mut short = spool(home.path(), 0).unwrap();
        short.append(b"no").unwrap();
        assert!(matches!(short.finish(), Err(ArchiveInputError::NoArchive { .. })));
    }
}
