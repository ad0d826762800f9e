//! Our stdin, stdout and stderr as bounded queues. Each side is a thread that blocks on its descriptor, because these
//! descriptors are shared with other programs: making them non-blocking would change them for those, too.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::sync::{mpsc, oneshot};

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 32 * 1024;
/// Chunks that may wait.
const QUEUE_MAX: usize = 4;

/// What comes from stdin. Dropping it ends the reading, so that what is typed next is for the shell that started us.
#[derive(Debug)]
pub(crate) struct Input {
    chunks: mpsc::Receiver<Bytes>,
    _end: OwnedFd,
}

impl Input {
    /// Starts to read stdin.
    pub(crate) fn open() -> io::Result<Self> {
        Self::of(io::stdin())
    }

    /// Starts to read a pipe or a file.
    pub(crate) fn of(source: impl AsFd + Send + 'static) -> io::Result<Self> {
        let (wake, end) = pipe_with(PipeFlags::CLOEXEC)?;
        let (sender, chunks) = mpsc::channel(QUEUE_MAX);
        thread::Builder::new().name("stdin".into()).spawn(move || read_chunks(&source, &wake, &sender))?;
        Ok(Self { chunks, _end: end })
    }

    /// Returns what comes next; `None` at the end. Can be given up without losing bytes.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        self.chunks.recv().await
    }
}

fn read_chunks(source: &impl AsFd, wake: &OwnedFd, sender: &mpsc::Sender<Bytes>) {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let mut watched =
            [PollFd::new(source, PollFlags::IN), PollFd::new(wake, PollFlags::IN | PollFlags::HUP)];
        match poll(&mut watched, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(_) => return,
        }
        if watched.get(1).is_none_or(|wake| !wake.revents().is_empty()) {
            return;
        }
        match rustix::io::read(source, &mut buffer) {
            Ok(count) if count > 0 => {
                let chunk = Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default());
                if sender.blocking_send(chunk).is_err() {
                    return;
                }
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            // A terminal that is gone reads as an error: nothing more will come.
            Ok(_) | Err(_) => return,
        }
    }
}

/// A piece of output. Both kinds go through one queue, so that a terminal that shows both shows them in order.
#[derive(Debug)]
pub(crate) enum Piece {
    Stdout(Bytes),
    Stderr(Bytes),
}

/// What goes to stdout and stderr.
#[derive(Debug)]
pub(crate) struct Output {
    pieces: mpsc::Sender<Piece>,
    done: oneshot::Receiver<io::Result<()>>,
}

/// Nobody takes what is written to stdout.
#[derive(Debug)]
pub(crate) struct OutputGone;

impl Output {
    /// Starts to write.
    pub(crate) fn open() -> io::Result<Self> {
        let (pieces, receiver) = mpsc::channel(QUEUE_MAX);
        let (tell, done) = oneshot::channel();
        thread::Builder::new().name("stdout".into()).spawn(move || {
            let _ = tell.send(write_pieces(receiver));
        })?;
        Ok(Self { pieces, done })
    }

    /// Returns the end that takes pieces.
    pub(crate) fn sender(&self) -> OutputSender {
        OutputSender { pieces: self.pieces.clone() }
    }

    /// Waits until everything is written.
    ///
    /// # Errors
    /// As `write(2)` on stdout. All senders must be dropped before.
    pub(crate) async fn finish(self) -> io::Result<()> {
        drop(self.pieces);
        self.done.await.unwrap_or(Ok(()))
    }
}

/// Takes pieces of output.
#[derive(Clone, Debug)]
pub(crate) struct OutputSender {
    pieces: mpsc::Sender<Piece>,
}

impl OutputSender {
    /// Writes a piece, after those before it.
    ///
    /// # Errors
    /// [`OutputGone`]; [`Output::finish`] tells why.
    pub(crate) async fn write(&self, piece: Piece) -> Result<(), OutputGone> {
        self.pieces.send(piece).await.map_err(|_unsent| OutputGone)
    }

    /// Writes a piece where there is room for it at once.
    ///
    /// # Errors
    /// [`OutputGone`] when there is none.
    pub(crate) fn try_write(&self, piece: Piece) -> Result<(), OutputGone> {
        self.pieces.try_send(piece).map_err(|_unsent| OutputGone)
    }
}

fn write_pieces(mut pieces: mpsc::Receiver<Piece>) -> io::Result<()> {
    while let Some(piece) = pieces.blocking_recv() {
        match piece {
            Piece::Stdout(bytes) => write_all(io::stdout().as_fd(), &bytes)?,
            // Whoever closed stderr does not want to know.
            Piece::Stderr(bytes) => drop(write_all(io::stderr().as_fd(), &bytes)),
        }
    }
    Ok(())
}

fn write_all(descriptor: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(descriptor, bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // Somebody else made it non-blocking.
            Err(Errno::AGAIN) => {
                let _ = poll(&mut [PollFd::new(&descriptor, PollFlags::OUT)], None);
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}
