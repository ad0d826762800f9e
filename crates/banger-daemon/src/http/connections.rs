//! The connections of the API. Each has a deadline for whatever it does not do: say what it wants, send its body, take its
//! answer. A client that follows events or a guest's stream may take its time.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::{Extension, Router};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Layer as _;
use tracing::debug;

use super::PrivateListener;

/// How long a client may take to say what it wants, from its connection or its last answer.
const HEAD_DEADLINE: Duration = Duration::from_secs(15);
/// How long a client may take nothing of its answer.
const TAKE_DEADLINE: Duration = Duration::from_secs(30);
/// Most that is kept of what a client sends and does not take.
const BUFFER_BYTES_MAX: usize = 64 * 1024;
/// Header lines of a request.
const HEADERS_MAX: usize = 64;
/// Connections at once; more wait in the socket's queue.
const CONNECTIONS_MAX: usize = 4096;

/// Serves until `last_answers` is cancelled; then each connection ends with its answer.
pub(super) async fn serve(mut listener: PrivateListener, router: Router, last_answers: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let connections = TaskTracker::new();
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, stream) = tokio::select! {
            () = last_answers.cancelled() => break,
            accepted = accepted => accepted,
        };
        let connection = converse(stream, router.clone(), last_answers.clone());
        connections.spawn(async move {
            let _place = place;
            if let Err(error) = connection.await {
                debug!(%error, "a connection ended early");
            }
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn converse(
    stream: tokio::net::UnixStream,
    router: Router,
    last_answers: CancellationToken,
) -> hyper::Result<()> {
    let patience = Patience::default();
    let stream = Taken::new(stream, patience.clone());
    let service = TowerToHyperService::new(Extension(patience).layer(router));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_buf_size(BUFFER_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        served = &mut connection => return served,
        () = last_answers.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

/// Whether the client of a connection may leave its answer untaken for as long as it likes.
#[derive(Clone, Debug, Default)]
pub(super) struct Patience(Arc<AtomicBool>);

impl Patience {
    /// From now on it may: what it takes has no end, and somebody may look at it.
    pub(super) fn grant(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A stream whose client takes what is written to it within a deadline.
struct Taken<S> {
    stream: S,
    patience: Patience,
    /// Runs while a write waits.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> Taken<S> {
    fn new(stream: S, patience: Patience) -> Self {
        Self { stream, patience, deadline: None }
    }

    fn within_deadline<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() || self.patience.0.load(Ordering::Relaxed) {
            self.deadline = None;
            return written;
        }
        let new = || Box::pin(tokio::time::sleep_until(Instant::now() + TAKE_DEADLINE));
        ready!(self.deadline.get_or_insert_with(new).as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing of its answer")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Taken<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Taken<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.within_deadline(context, written)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, pieces);
        this.within_deadline(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixStream;

    use super::*;

    struct Server {
        socket: std::path::PathBuf,
        _directory: tempfile::TempDir,
    }

    /// Answers `/` shortly, `/long` without end, and `/patient` without end to whoever takes it whenever it likes.
    fn server() -> Server {
        let endless = || {
            let piece = bytes::Bytes::from(vec![b'x'; 64 * 1024]);
            axum::body::Body::from_stream(futures::stream::repeat_with(move || {
                Ok::<_, std::convert::Infallible>(piece.clone())
            }))
        };
        let patient = move |Extension(patience): Extension<Patience>| async move {
            patience.grant();
            endless()
        };
        let router = Router::new()
            .route("/", get(async || "here"))
            .route("/long", get(async move || endless()))
            .route("/patient", get(patient));
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("s");
        let listener = PrivateListener::bind(&socket).unwrap();
        tokio::spawn(serve(listener, router, CancellationToken::new()));
        Server { socket, _directory: directory }
    }

    async fn ask(server: &Server, text: &str) -> UnixStream {
        let mut stream = UnixStream::connect(&server.socket).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_say_what_it_wants_is_let_go() {
        let server = server();
        for half in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: x\r\nX: "] {
            let mut stream = ask(&server, half).await;
            assert_eq!(stream.read_to_end(&mut Vec::new()).await.unwrap_or(0), 0, "{half:?}");
        }
        let mut stream = ask(&server, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let mut answer = String::new();
        // The end comes by itself: a connection that says nothing more is let go, too.
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("here"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_let_go_and_a_patient_one_is_not() {
        let server = server();
        let mut stuck = ask(&server, "GET /long HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let mut patient = ask(&server, "GET /patient HTTP/1.1\r\nHost: x\r\n\r\n").await;
        patient.readable().await.unwrap();
        tokio::time::sleep(Duration::from_secs(3600)).await;
        let taken = stuck.read_to_end(&mut Vec::new()).await.unwrap_or_default();
        assert!(taken < 4 * 1024 * 1024, "{taken} bytes were kept for it");
        let mut taken = vec![0; 8 * 1024 * 1024];
        patient.read_exact(&mut taken).await.unwrap();
    }

    #[tokio::test]
    async fn a_head_has_a_length_that_it_may_have() {
        let server = server();
        let many = "X: y\r\n".repeat(65);
        let long = format!("X: {}\r\n", "y".repeat(300_000));
        for (head, status) in [(many, "431"), (long, "431")] {
            let text = format!("GET / HTTP/1.1\r\nHost: x\r\n{head}\r\n");
            let mut stream = UnixStream::connect(&server.socket).await.unwrap();
            let _ = stream.write_all(text.as_bytes()).await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            let answer = String::from_utf8_lossy(&answer);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        }
    }
}
