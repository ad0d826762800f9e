//! One yamux session: its task drives the connection, callers ask it for streams.
//!
//! A guest that says nothing may be busy, stopped, or lost: its agent began anew and waits for a handshake. From here
//! they look alike, so a silent guest is told how to begin anew in a way that disturbs no session: a busy guest goes on
//! where it was, whenever that is, and a lost one ends this session with its answer. Time ends none.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use banger_agent_proto::sync::Line;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};
use yamux::{Config, Connection, ConnectionError, Mode};

use super::conduct::Offence;
use super::frames;
use super::handshake::new_nonce;
use super::screen::{Record, Screened};
use super::stream::GuestStream;

/// The guest ends a session with more than 256 streams, and sees the end of a stream later than we do.
pub(super) const STREAMS_MAX: usize = 192;

/// The multiplexer ends a session with more streams than this, and counts those that were dropped a moment ago. The
/// places keep the number of live ones far below.
const COUNTED_STREAMS_MAX: usize = 16 * STREAMS_MAX;

/// The least that the multiplexer takes, so that windows stay at their first size. What all streams hold together is bounded
/// in [`super::conduct`].
const WINDOW_BYTES_MAX: usize = COUNTED_STREAMS_MAX * yamux::DEFAULT_CREDIT as usize;

/// Payload of one frame. Below the flush that pushes a peer out of an old frame.
const FRAME_BYTES: usize = 32 * 1024;

const _: () = assert!(FRAME_BYTES < banger_agent_proto::sync::FLUSH_BYTES);

/// Questions that a silent guest may find when it wakes up, most of them of callers that have gone: far fewer streams
/// than it takes at once.
const UNANSWERED_MAX: usize = 64;

/// How long a guest may leave a question open before it is told how to begin anew; doubled each time.
const SILENCE_FIRST: Duration = Duration::from_secs(5);
const SILENCE_LAST: Duration = Duration::from_secs(60);

/// The session has ended.
#[derive(Debug)]
pub(super) struct SessionEnded;

/// How callers reach a session.
#[derive(Clone, Debug)]
pub(super) struct Session {
    requests: mpsc::Sender<Request>,
    record: Record,
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
        let (sender, requests) = mpsc::channel(STREAMS_MAX);
        let record = Record::new();
        let mut config = Config::default();
        config
            .set_max_connection_receive_window(None)
            .set_max_num_streams(COUNTED_STREAMS_MAX)
            .set_max_connection_receive_window(Some(WINDOW_BYTES_MAX))
            .set_split_send_size(FRAME_BYTES);
        let connection = Connection::new(Screened::new(pipe, record.clone()).compat(), config, Mode::Client);
        let session =
            Self { requests: sender, record: record.clone(), places: Arc::new(Semaphore::new(STREAMS_MAX)) };
        let driven = async move {
            // In one task: what is said aside goes out with the next turn of the connection.
            tokio::select! {
                error = drive(connection, requests, &record) => error,
                never = call_back(&record) => match never {},
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

    /// Waits while a silent guest has as many questions before it as it will find when it wakes up.
    pub(super) async fn turn(&self) {
        tokio::select! {
            () = self.record.unanswered_is(|count| count < UNANSWERED_MAX) => {}
            () = self.requests.closed() => {}
        }
    }

    /// Notes that a caller waits for the guest from now on.
    pub(super) fn expect_answer(&self) {
        self.record.ask();
    }

    /// Returns what the guest did to end the session.
    pub(super) fn offence(&self) -> Option<Offence> {
        self.record.offence()
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, SessionEnded> {
        let (sender, answer) = oneshot::channel();
        self.requests.send(request(sender)).await.map_err(|_gone| SessionEnded)?;
        answer.await.map_err(|_gone| SessionEnded)
    }
}

/// Tells a silent guest how to begin anew.
async fn call_back(record: &Record) -> Infallible {
    loop {
        record.unanswered_is(|count| count > 0).await;
        let mut silence = SILENCE_FIRST;
        while tokio::time::timeout(silence, record.unanswered_is(|count| count == 0)).await.is_err() {
            record.say_aside(frames::unheard(&Line::Syn(new_nonce()).encode()));
            silence = (silence * 2).min(SILENCE_LAST);
            // The connection gets a turn.
            tokio::task::yield_now().await;
        }
    }
}

async fn drive<P>(
    mut connection: Connection<Compat<Screened<P>>>,
    mut requests: mpsc::Receiver<Request>,
    record: &Record,
) -> ConnectionError
where
    P: AsyncRead + AsyncWrite + Unpin,
{
    let mut wanted = None;
    std::future::poll_fn(|context| {
        loop {
            // First what happened to the streams there are: a place that was given back is free before it is taken.
            match connection.poll_next_inbound(context) {
                // The guest has nothing to ask of the host, and was judged before it got here.
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
                    Poll::Ready(Ok(stream)) => drop(sender.send(GuestStream::new(stream, record.clone()))),
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
