//! Reads a command's output as fast as the host accepts it.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use banger_agent_proto::{ExecReply, exec_reply::Reply};
use bytes::Bytes;
use rustix::io::Errno;
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::{Notify, mpsc, watch},
};
use tonic::Status;

use super::replies::ReplySender;
use crate::os::async_fd;

/// Maximum number of bytes in one reply.
const CHUNK_BYTES: usize = 32 * 1024;

/// Maximum number of bytes that a pipe or terminal can hold when its command exits. Anything beyond was written later, by a
/// process that was left in the background.
pub(super) const LEFT_BEHIND_BYTES_MAX: usize = 1024 * 1024;

/// The output stream of the command.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Channel {
    Stdout,
    Stderr,
}

/// A descriptor that is read or written without blocking.
pub(crate) type Stream = AsyncFd<OwnedFd>;

/// Registers a descriptor with the runtime.
pub(crate) fn stream(fd: OwnedFd) -> io::Result<Stream> {
    rustix::io::ioctl_fionbio(&fd, true)?;
    async_fd::register(fd, Interest::READABLE | Interest::WRITABLE)
}

/// Sends everything from `source` until its end. Once the command has exited, only the data that is already there is sent,
/// so a background process that keeps the descriptor open does not delay the exit. `printed` is notified of data.
pub(crate) async fn pump(
    source: impl AsRef<Stream>,
    channel: Channel,
    replies: ReplySender,
    mut exited: watch::Receiver<bool>,
    printed: Arc<Notify>,
) {
    let source = source.as_ref();
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut left = LEFT_BEHIND_BYTES_MAX;
    while left > 0 {
        // Space for the reply is reserved first, so that a slow host blocks the command instead of filling our memory.
        let Ok(permit) = replies.reserve().await else { return };
        if *exited.borrow_and_update() {
            match read(source, &mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(count) => {
                    left = left.saturating_sub(count);
                    send(permit, channel, &buffer, count);
                }
            }
            continue;
        }
        tokio::select! {
            ready = source.readable() => {
                let Ok(mut guard) = ready else { return };
                match read(source, &mut buffer) {
                    Ok(0) | Err(ReadError::Failed) => return,
                    Ok(count) => {
                        send(permit, channel, &buffer, count);
                        printed.notify_one();
                    }
                    Err(ReadError::Empty) => guard.clear_ready(),
                }
            }
            changed = exited.changed() => if changed.is_err() { return },
        }
    }
}

/// Nothing was read.
pub(super) enum ReadError {
    Empty,
    Failed,
}

/// Reads what is there; 0 at the end.
pub(super) fn read(source: &Stream, buffer: &mut [u8]) -> Result<usize, ReadError> {
    loop {
        match rustix::io::read(source.get_ref().as_fd(), &mut *buffer) {
            Ok(count) => return Ok(count),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Err(ReadError::Empty),
            // A terminal whose other end was closed returns EIO.
            Err(_) => return Err(ReadError::Failed),
        }
    }
}

fn send(permit: mpsc::Permit<'_, Result<ExecReply, Status>>, channel: Channel, buffer: &[u8], count: usize) {
    let bytes = Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default());
    let reply = match channel {
        Channel::Stdout => Reply::Stdout(bytes),
        Channel::Stderr => Reply::Stderr(bytes),
    };
    permit.send(Ok(ExecReply { reply: Some(reply) }));
}
