//! Delivers the host's messages to the command: input, window size, signals.
//!
//! Signals and window sizes do not wait behind input that the command does not read: up to [`PENDING_BYTES_MAX`] of it is
//! kept here while further messages are read. Beyond that, nothing is read until the command accepts input: the host's input
//! stops at the window of its stream, and a signal that is sent after it waits as well, because messages arrive in order. A
//! host that must end such a command ends the call.

use std::{os::fd::AsFd, sync::Arc};

use banger_agent_proto::{ExecRequest, exec_request::Request};
use bytes::{Buf as _, BytesMut};
use futures::{Stream as MessageStream, StreamExt as _};
use rustix::io::Errno;
use tokio::sync::Notify;
use tonic::Status;

use super::{
    leader::Leader,
    output::Stream,
    terminal::{self, InputMode},
};

/// Maximum number of bytes of pending input. The message that exceeds it is still kept whole.
const PENDING_BYTES_MAX: usize = 1024 * 1024;

/// The destination of the command's input.
pub(crate) enum Input {
    /// No input: a detached command.
    None,
    Pipe(Stream),
    Terminal {
        master: Arc<Stream>,
        /// Notified when the command has printed something.
        printed: Arc<Notify>,
    },
}

/// Serves messages until there are no more and the command has received its input.
pub(crate) async fn pump(
    mut messages: impl MessageStream<Item = Result<ExecRequest, Status>> + Unpin,
    input: Input,
    leader: Arc<Leader>,
) {
    let mut feed = Feed { input, pending: BytesMut::new(), is_complete: false, ended_in: None };
    let mut is_heard = true;
    while is_heard || !feed.pending.is_empty() {
        // Both branches may be dropped half-way: a message is received whole or not at all, and so is a write.
        tokio::select! {
            message = messages.next(), if is_heard && feed.pending.len() < PENDING_BYTES_MAX => {
                if let Some(Ok(ExecRequest { request })) = message {
                    feed.take(request, &leader);
                } else {
                    is_heard = false;
                    feed.complete();
                }
            }
            () = feed.missed_the_end() => feed.end_terminal(),
            written = write(feed.input.stream(), &feed.pending), if !feed.pending.is_empty() => feed.advance(written),
        }
    }
}

/// The command's input with its pending bytes.
struct Feed {
    input: Input,
    pending: BytesMut,
    /// Whether the input has ended: a pipe is closed after the pending bytes.
    is_complete: bool,
    /// The terminal's mode when it was last told of the input's end. A program that changes the mode afterwards, as a shell
    /// does when it starts to edit lines, does not see that end.
    ended_in: Option<InputMode>,
}

impl Feed {
    fn take(&mut self, request: Option<Request>, leader: &Leader) {
        match request {
            Some(Request::Stdin(bytes)) => match self.input {
                Input::Pipe(_) if !self.is_complete => self.pending.extend_from_slice(&bytes),
                Input::Terminal { .. } => self.pending.extend_from_slice(&bytes),
                Input::Pipe(_) | Input::None => {}
            },
            Some(Request::StdinEnd(_)) => match self.input {
                Input::Terminal { .. } => self.end_terminal(),
                Input::Pipe(_) | Input::None => self.complete(),
            },
            Some(Request::Resize(size)) => {
                if let Input::Terminal { master, .. } = &self.input {
                    let _ = terminal::resize(master.get_ref(), size);
                }
            }
            Some(Request::Signal(number)) => self.input.signal(leader, number),
            Some(Request::Start(_)) | None => {}
        }
    }

    /// Gives a terminal the character that ends input.
    fn end_terminal(&mut self) {
        if let Input::Terminal { master, .. } = &self.input {
            self.pending.extend_from_slice(&[terminal::end_of_file(master.get_ref())]);
            self.ended_in = Some(terminal::input_mode(master.get_ref()));
        }
    }

    /// Waits until a terminal whose input has ended is to be told so again. Programs print a prompt after they have changed
    /// the mode.
    async fn missed_the_end(&self) {
        let (Input::Terminal { master, printed }, Some(ended_in)) = (&self.input, self.ended_in) else {
            return std::future::pending().await;
        };
        loop {
            printed.notified().await;
            if terminal::input_mode(master.get_ref()) != ended_in {
                return;
            }
        }
    }

    /// Marks the end of the host's input, which has no effect on a terminal.
    fn complete(&mut self) {
        self.is_complete = true;
        self.close_when_done();
    }

    fn advance(&mut self, written: Result<usize, Errno>) {
        if let Ok(count) = written {
            self.pending.advance(count);
        } else {
            // Nobody reads the input any more, but the command may continue.
            self.pending.clear();
            self.is_complete = true;
        }
        self.close_when_done();
    }

    fn close_when_done(&mut self) {
        if self.is_complete && self.pending.is_empty() && matches!(self.input, Input::Pipe(_)) {
            self.input = Input::None;
        }
    }
}

impl Input {
    fn stream(&self) -> Option<&Stream> {
        match self {
            Self::None => None,
            Self::Pipe(stream) => Some(stream),
            Self::Terminal { master, .. } => Some(master),
        }
    }

    fn signal(&self, leader: &Leader, number: u32) {
        let Ok(number) = i32::try_from(number) else { return };
        let terminal = match self {
            Self::Terminal { master, .. } => Some(master.get_ref()),
            Self::None | Self::Pipe(_) => None,
        };
        leader.signal(terminal, number);
    }
}

/// Writes as much as the stream accepts now; waits until it accepts something.
async fn write(stream: Option<&Stream>, bytes: &[u8]) -> Result<usize, Errno> {
    let stream = stream.ok_or(Errno::PIPE)?;
    loop {
        let mut guard = stream.writable().await.map_err(|_gone| Errno::IO)?;
        // A terminal that everybody has closed while it was full accepts nothing, and is reported as writable for ever.
        let is_hung_up = guard.ready().is_write_closed();
        match guard.try_io(|stream| Ok(rustix::io::write(stream.get_ref().as_fd(), bytes)?)) {
            Ok(Ok(count)) => return Ok(count),
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Ok(Err(error)) => return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
            Err(_would_block) if is_hung_up => return Err(Errno::PIPE),
            Err(_would_block) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, stream};

    use super::*;
    use crate::exec::output;

    const CHUNK_BYTES: usize = 32 * 1024;

    /// Capacity of a pipe.
    const PIPE_BYTES: usize = 64 * 1024;

    #[tokio::test]
    async fn input_that_nobody_reads_is_not_taken_without_end() {
        let (_reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let mut taken = 0;
        let messages = stream::iter(0..1000).map(|_| {
            taken += CHUNK_BYTES;
            Ok(ExecRequest { request: Some(Request::Stdin(vec![b'x'; CHUNK_BYTES].into())) })
        });
        let input = Input::Pipe(output::stream(writer).unwrap());
        let mut pump = Box::pin(pump(messages, input, Arc::default()));
        for _ in 0..100 {
            assert!((&mut pump).now_or_never().is_none());
            tokio::task::yield_now().await;
        }
        drop(pump);
        assert!(
            (PENDING_BYTES_MAX..=PENDING_BYTES_MAX + PIPE_BYTES + CHUNK_BYTES).contains(&taken),
            "{taken}"
        );
    }
}
