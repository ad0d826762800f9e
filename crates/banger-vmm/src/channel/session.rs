//! One yamux session: its task drives the connection, callers ask it for streams.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt as _, TokioAsyncReadCompatExt as _};
use tokio_util::sync::CancellationToken;
use yamux::{Config, Connection, ConnectionError, Mode};

/// A stream to the guest.
pub(super) type GuestStream = Compat<yamux::Stream>;

/// The guest ends a session with more than 256 streams, and sees the end of a stream later than we do.
pub(super) const STREAMS_MAX: usize = 192;

/// The multiplexer ends a session with more streams than this, and counts those that were dropped a moment ago. The
/// places keep the number of live ones far below.
const COUNTED_STREAMS_MAX: usize = 16 * STREAMS_MAX;

/// The least that the multiplexer takes: windows stay at their first size, so live streams hold 48 MiB at most.
const WINDOW_BYTES_MAX: usize = COUNTED_STREAMS_MAX * yamux::DEFAULT_CREDIT as usize;

/// Payload of one frame. Below the flush that pushes a peer out of an old frame.
const FRAME_BYTES: usize = 32 * 1024;

const _: () = assert!(FRAME_BYTES < banger_agent_proto::sync::FLUSH_BYTES);

/// The session has ended.
#[derive(Debug)]
pub(super) struct SessionEnded;

/// How callers reach a session.
#[derive(Clone, Debug)]
pub(super) struct Session {
    requests: mpsc::Sender<Request>,
    /// Counts what came from the guest.
    received_bytes: Arc<AtomicU64>,
    /// Ends the session.
    end: CancellationToken,
    /// One permit per stream; held by the caller for as long as the stream lives.
    pub(super) places: Arc<Semaphore>,
}

enum Request {
    Open(oneshot::Sender<GuestStream>),
    /// Answered while the session lives.
    Ping(oneshot::Sender<()>),
}

impl Session {
    /// Makes a session on a pipe behind its handshake; the future drives it until it breaks.
    pub(super) fn start<P>(pipe: P) -> (Self, impl Future<Output = ConnectionError> + Send)
    where
        P: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let received_bytes = Arc::new(AtomicU64::new(0));
        let (sender, requests) = mpsc::channel(STREAMS_MAX);
        let end = CancellationToken::new();
        let counted = Counted { pipe, received_bytes: Arc::clone(&received_bytes) };
        let mut config = Config::default();
        config
            .set_max_connection_receive_window(None)
            .set_max_num_streams(COUNTED_STREAMS_MAX)
            .set_max_connection_receive_window(Some(WINDOW_BYTES_MAX))
            .set_split_send_size(FRAME_BYTES);
        let connection = Connection::new(counted.compat(), config, Mode::Client);
        let session = Self {
            requests: sender,
            received_bytes,
            end: end.clone(),
            places: Arc::new(Semaphore::new(STREAMS_MAX)),
        };
        let driven = async move {
            tokio::select! {
                () = end.cancelled() => ConnectionError::Closed,
                error = drive(connection, requests) => error,
            }
        };
        (session, driven)
    }

    /// Opens a stream. The guest hears of it with the first bytes.
    pub(super) async fn open(&self) -> Result<GuestStream, SessionEnded> {
        self.ask(Request::Open).await
    }

    /// Tells whether the session still lives: a stream that ends with its session looks like one that the guest ended.
    pub(super) async fn is_alive(&self) -> bool {
        self.ask(Request::Ping).await.is_ok()
    }

    pub(super) fn received_bytes(&self) -> u64 {
        self.received_bytes.load(Ordering::Relaxed)
    }

    /// Gives the session up.
    pub(super) fn end(&self) {
        self.end.cancel();
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, SessionEnded> {
        let (sender, answer) = oneshot::channel();
        self.requests.send(request(sender)).await.map_err(|_gone| SessionEnded)?;
        answer.await.map_err(|_gone| SessionEnded)
    }
}

async fn drive<P>(
    mut connection: Connection<Compat<Counted<P>>>,
    mut requests: mpsc::Receiver<Request>,
) -> ConnectionError
where
    P: AsyncRead + AsyncWrite + Unpin,
{
    let mut wanted = None;
    std::future::poll_fn(|context| {
        loop {
            // First what happened to the streams there are: a place that was given back is free before it is taken.
            match connection.poll_next_inbound(context) {
                // The guest has nothing to ask of the host.
                Poll::Ready(Some(Ok(_uninvited))) => continue,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(error),
                Poll::Ready(None) => return Poll::Ready(ConnectionError::Closed),
                Poll::Pending => {}
            }
            if wanted.is_none() {
                match ready!(requests.poll_recv(context)) {
                    Some(Request::Open(sender)) => wanted = Some(sender),
                    // Who asked may have gone.
                    Some(Request::Ping(sender)) => drop(sender.send(())),
                    None => return Poll::Ready(ConnectionError::Closed),
                }
            }
            if let Some(sender) = wanted.take() {
                match connection.poll_new_outbound(context) {
                    // A caller that has gone drops its stream at once.
                    Poll::Ready(Ok(stream)) => drop(sender.send(stream.compat())),
                    Poll::Ready(Err(error)) => return Poll::Ready(error),
                    Poll::Pending => {
                        wanted = Some(sender);
                        return Poll::Pending;
                    }
                }
            }
        }
    })
    .await
}

/// A pipe that counts what is read.
struct Counted<P> {
    pipe: P,
    received_bytes: Arc<AtomicU64>,
}

impl<P: AsyncRead + Unpin> AsyncRead for Counted<P> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.pipe).poll_read(context, buffer))?;
        let count = buffer.filled().len() - before;
        self.received_bytes.fetch_add(count as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl<P: AsyncWrite + Unpin> AsyncWrite for Counted<P> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.pipe).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(context)
    }
}
