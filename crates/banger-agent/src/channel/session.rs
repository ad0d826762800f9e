//! Many streams over one pipe: the handshake that finds the start of a session, then yamux until it breaks.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use banger_agent_proto::sync::{Line, LineScanner};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufWriter, ReadBuf};
use tokio_util::compat::{FuturesAsyncReadCompatExt as _, TokioAsyncReadCompatExt as _};
use yamux::{Config, Connection, Mode};

use super::{opening, ports::Ports};

const STREAMS_MAX: usize = 256;

/// Total number of bytes that the host may send ahead of the agent's readers, over all streams.
const RECEIVE_WINDOW_BYTES: usize = 64 * 1024 * 1024;

/// Maximum size of one write to the port's driver. Each write notifies the VMM, which is the expensive part.
const WRITE_BYTES: usize = 32 * 1024;

/// Size of a yamux frame's header.
const FRAME_HEADER_BYTES: usize = 12;

/// Payload of one frame: it fits into one write with its header, and is far smaller than the flush that pushes a peer out of
/// an old frame.
const FRAME_BYTES: usize = WRITE_BYTES - FRAME_HEADER_BYTES;

/// Number of bytes that the handshake reads at a time.
const CHUNK_BYTES: usize = 4096;

/// Serves sessions one after the other. Returns at the end of the pipe.
///
/// Input that does not belong to a session (garbage, the rest of an old one) is skipped.
pub async fn serve(pipe: &mut (impl AsyncRead + AsyncWrite + Unpin), ports: &Ports) -> io::Result<()> {
    let mut seen = Seen::default();
    while handshake(pipe, &mut seen).await? {
        let written = Vec::with_capacity(WRITE_BYTES);
        multiplex(SessionPipe { pipe: &mut *pipe, seen: &mut seen, written }, ports).await;
    }
    Ok(())
}

/// Scans for the opening of a session. Returns `false` if the pipe ended.
async fn handshake(pipe: &mut (impl AsyncRead + AsyncWrite + Unpin), seen: &mut Seen) -> io::Result<bool> {
    let mut scanner = LineScanner::default();
    let mut nonce = None;
    // The session that broke may have consumed the start of the line that requests a new one.
    let mut bytes = seen.take();
    loop {
        for (position, byte) in bytes.iter().enumerate() {
            match scanner.push(*byte) {
                // A host that is waiting repeats its request; a second answer would run into its session.
                Some(Line::Syn(wanted)) if nonce != Some(wanted) => {
                    nonce = Some(wanted);
                    pipe.write_all(&Line::Ack(wanted).encode()).await?;
                    pipe.flush().await?;
                }
                Some(Line::Go(started)) if nonce == Some(started) => {
                    seen.ahead = bytes.split_off(position + 1);
                    return Ok(true);
                }
                Some(Line::Syn(_) | Line::Go(_) | Line::Ack(_)) | None => {}
            }
        }
        bytes.resize(CHUNK_BYTES, 0);
        let count = pipe.read(&mut bytes).await?;
        bytes.truncate(count);
        if count == 0 {
            return Ok(false);
        }
    }
}

async fn multiplex(pipe: SessionPipe<'_, impl AsyncRead + AsyncWrite + Unpin>, ports: &Ports) {
    let mut config = Config::default();
    config
        .set_max_num_streams(STREAMS_MAX)
        .set_max_connection_receive_window(Some(RECEIVE_WINDOW_BYTES))
        .set_split_send_size(FRAME_BYTES);
    let mut connection = Connection::new(pipe.compat(), config, Mode::Server);
    while let Some(Ok(stream)) = poll_fn(|context| connection.poll_next_inbound(context)).await {
        // gRPC writes a header and then its payload; together they become one frame.
        let stream = BufWriter::with_capacity(FRAME_BYTES, stream.compat());
        tokio::spawn(opening::greet(stream, ports.clone()));
    }
}

/// Bytes of the pipe that the handshake and the session pass to each other.
#[derive(Debug, Default)]
struct Seen {
    /// The last bytes that the session read.
    tail: Vec<u8>,
    /// Bytes that the handshake read beyond its end; the session reads them first.
    ahead: Vec<u8>,
}

impl Seen {
    const TAIL_BYTES_MAX: usize = 2 * banger_agent_proto::sync::LINE_BYTES_MAX;

    fn took(&mut self, bytes: &[u8]) {
        let kept = bytes.len().min(Self::TAIL_BYTES_MAX);
        let (_, bytes) = bytes.split_at(bytes.len() - kept);
        let dropped = (self.tail.len() + kept).saturating_sub(Self::TAIL_BYTES_MAX);
        self.tail.drain(..dropped);
        self.tail.extend_from_slice(bytes);
    }

    fn take(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.tail);
        bytes.append(&mut self.ahead);
        bytes
    }
}

/// The pipe as seen by a session: it records the last bytes read, and writes each frame in one go.
struct SessionPipe<'a, P> {
    pipe: &'a mut P,
    seen: &'a mut Seen,
    /// At most [`WRITE_BYTES`] bytes that wait for a flush.
    written: Vec<u8>,
}

impl<P: AsyncRead + Unpin> AsyncRead for SessionPipe<'_, P> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        if this.seen.ahead.is_empty() {
            ready!(Pin::new(&mut *this.pipe).poll_read(context, buffer))?;
        } else {
            let count = this.seen.ahead.len().min(buffer.remaining());
            for byte in this.seen.ahead.drain(..count) {
                buffer.put_slice(&[byte]);
            }
        }
        this.seen.took(buffer.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl<P: AsyncWrite + Unpin> SessionPipe<'_, P> {
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.written.is_empty() {
            let count = ready!(Pin::new(&mut *self.pipe).poll_write(context, &self.written))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written.drain(..count);
        }
        Poll::Ready(Ok(()))
    }
}

impl<P: AsyncWrite + Unpin> AsyncWrite for SessionPipe<'_, P> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.written.len() >= WRITE_BYTES {
            ready!(this.poll_drain(context))?;
        }
        let count = bytes.len().min(WRITE_BYTES - this.written.len());
        this.written.extend_from_slice(bytes.get(..count).unwrap_or_default());
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(context))?;
        Pin::new(&mut *this.pipe).poll_flush(context)
    }

    /// The pipe outlives the session, so the end of a session does not close it.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_keeps_the_last_bytes() {
        let mut seen = Seen::default();
        seen.took(&[1; 300]);
        seen.took(&[2; 3]);
        seen.ahead = vec![3];
        let bytes = seen.take();
        assert_eq!(bytes.len(), Seen::TAIL_BYTES_MAX + 1);
        assert!(bytes.ends_with(&[1, 2, 2, 2, 3]));
        assert!(seen.take().is_empty());
    }
}
