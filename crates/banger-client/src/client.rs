//! The client: one connection per request, each with a deadline. A daemon may die at any moment; a question that changes
//! nothing is asked again of its successor.

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use banger_api::{CHANNEL_PROTOCOL, ErrorBody, OperationQuery, OperationView, route};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::transport::{Socket, Transport};

/// How long the daemon may take to answer anything that is not a long poll.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// How long one long poll may take: more than the daemon's own 25 s.
const POLL_DEADLINE: Duration = Duration::from_secs(40);

/// How often a question is asked again of the next daemon.
const REPEATS_MAX: usize = 5;

/// Why a request had no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("no daemon listens on `{place}`")]
    NotReachable {
        /// Where.
        place: String,
        /// Why.
        source: std::io::Error,
    },
    /// The daemon did not answer in time.
    #[error("the daemon did not answer `{path}` within {} s", .deadline.as_secs())]
    Silent {
        /// What was asked.
        path: String,
        /// What it was given.
        deadline: Duration,
    },
    /// The connection broke.
    #[error("the connection to the daemon was lost during `{path}`")]
    Broken {
        /// What was asked.
        path: String,
        /// Why.
        source: hyper::Error,
    },
    /// The request could not be written.
    #[error("cannot encode the request `{path}`")]
    Unwritable {
        /// What was asked.
        path: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer is not what this version expects.
    #[error("the daemon's answer to `{path}` is invalid")]
    Unreadable {
        /// What was asked.
        path: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The daemon said no.
    #[error("{}", .0.message)]
    Refused(Box<ErrorBody>),
}

impl ClientError {
    /// Tells whether the daemon went away before it had answered.
    #[must_use]
    pub fn is_loss(&self) -> bool {
        match self {
            Self::NotReachable { .. } | Self::Broken { .. } => true,
            Self::Silent { .. } | Self::Unwritable { .. } | Self::Unreadable { .. } | Self::Refused(_) => {
                false
            }
        }
    }
}

type Successor = dyn Fn() -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync;

/// Speaks to one daemon.
#[derive(Clone)]
pub struct Client {
    transport: Arc<dyn Transport>,
    successor: Option<Arc<Successor>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Client").field("daemon", &self.transport.to_string()).finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the daemon behind this socket; connects with each request.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self::over(Arc::new(Socket::new(socket)))
    }

    /// A client of the daemon at the end of this transport.
    #[must_use]
    pub fn over(transport: Arc<dyn Transport>) -> Self {
        Self { transport, successor: None }
    }

    /// Asks the next daemon when one went away before it had answered what changes nothing. `successor` makes sure that
    /// there is one, and tells whether there is.
    #[must_use]
    pub fn with_successor<F>(self, successor: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = bool> + Send + 'static,
    {
        Self { successor: Some(Arc::new(move || Box::pin(successor()))), ..self }
    }

    /// Makes sure that there is a daemon after one that went away; tells whether there is.
    pub async fn has_successor(&self) -> bool {
        match &self.successor {
            Some(successor) => successor().await,
            None => false,
        }
    }

    /// Decides after a failed question that changes nothing: `Ok` when it is worth asking again.
    async fn ask_again(&self, error: ClientError, repeats: &mut usize) -> Result<(), ClientError> {
        *repeats += 1;
        let is_worth_it = error.is_loss() && *repeats <= REPEATS_MAX && self.has_successor().await;
        if is_worth_it { Ok(()) } else { Err(error) }
    }

    async fn question<T: DeserializeOwned>(&self, path: &str, deadline: Duration) -> Result<T, ClientError> {
        let mut repeats = 0;
        loop {
            match self.request(Method::GET, path, None::<&()>, deadline).await {
                Err(error) => self.ask_again(error, &mut repeats).await?,
                answered => return answered,
            }
        }
    }

    /// Reads what is at `path`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get<T: DeserializeOwned>(&self, path: impl AsRef<str>) -> Result<T, ClientError> {
        let path = path.as_ref();
        self.question(path, ANSWER_DEADLINE).await
    }

    /// Reads what is at `path` as the JSON text that it comes as, for who only hands it on.
    ///
    /// # Errors
    /// [`ClientError`], apart from [`ClientError::Unreadable`]: nobody has read it yet.
    pub async fn get_text(&self, path: impl AsRef<str>) -> Result<Bytes, ClientError> {
        let path = path.as_ref();
        let mut repeats = 0;
        loop {
            match self.exchange(Method::GET, path, Bytes::new(), ANSWER_DEADLINE).await {
                Err(error) => self.ask_again(error, &mut repeats).await?,
                answered => return answered,
            }
        }
    }

    /// Asks for something.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: impl AsRef<str>,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let path = path.as_ref();
        self.request(Method::POST, path, Some(body), ANSWER_DEADLINE).await
    }

    /// Asks for something that takes longer than an answer usually does.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn post_within<T: DeserializeOwned>(
        &self,
        path: impl AsRef<str>,
        body: &impl Serialize,
        deadline: Duration,
    ) -> Result<T, ClientError> {
        let path = path.as_ref();
        self.request(Method::POST, path, Some(body), deadline).await
    }

    /// Waits until the operation has changed since `after`, or some 25 s have passed.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn operation(&self, id: &str, after: u64) -> Result<OperationView, ClientError> {
        let path = route::SHOW_OPERATION.of(id).asking(&OperationQuery { after });
        self.question(path.as_ref(), POLL_DEADLINE).await
    }

    /// Follows an operation to its end and shows each change.
    ///
    /// # Errors
    /// [`ClientError`]; a failed operation is [`ClientError::Refused`] with its error.
    pub async fn follow(
        &self,
        begun: OperationView,
        mut show: impl FnMut(&OperationView),
    ) -> Result<OperationView, ClientError> {
        let mut operation = begun;
        loop {
            show(&operation);
            if operation.state.is_final() {
                return match operation.error {
                    Some(error) => Err(ClientError::Refused(Box::new(error))),
                    None => Ok(operation),
                };
            }
            operation = self.operation(&operation.id, operation.revision).await?;
        }
    }

    /// Opens a body that goes on for as long as the daemon writes to it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn stream(&self, path: impl AsRef<str>) -> Result<Incoming, ClientError> {
        let path = path.as_ref();
        let mut repeats = 0;
        loop {
            match self.open(path, None, ANSWER_DEADLINE).await {
                Err(error) => self.ask_again(error, &mut repeats).await?,
                Ok(response) => return Ok(response.into_body()),
            }
        }
    }

    /// Turns a request into a stream of bytes both ways.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn upgrade(
        &self,
        path: impl AsRef<str>,
        deadline: Duration,
    ) -> Result<TokioIo<Upgraded>, ClientError> {
        let path = path.as_ref();
        let mut repeats = 0;
        loop {
            let opened = async {
                let response = self.open(path, Some(CHANNEL_PROTOCOL), deadline).await?;
                hyper::upgrade::on(response)
                    .await
                    .map_err(|source| ClientError::Broken { path: path.to_owned(), source })
            };
            match opened.await {
                Err(error) => self.ask_again(error, &mut repeats).await?,
                Ok(upgraded) => return Ok(TokioIo::new(upgraded)),
            }
        }
    }

    async fn open(
        &self,
        path: &str,
        upgrade: Option<&str>,
        deadline: Duration,
    ) -> Result<Response<Incoming>, ClientError> {
        let request = build(Method::GET, path, Bytes::new(), upgrade)?;
        let response = self.send(request, path, deadline).await?;
        refuse_errors(response, path).await
    }

    async fn request<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
        deadline: Duration,
    ) -> Result<T, ClientError> {
        let body = match body {
            // `()` says nothing, so nothing is sent.
            Some(body) if size_of_val(body) == 0 => Bytes::new(),
            Some(body) => serde_json::to_vec(body)
                .map_err(|source| ClientError::Unwritable {
                    path: path.to_owned(),
                    source: Box::new(source),
                })?
                .into(),
            None => Bytes::new(),
        };
        let bytes = self.exchange(method, path, body, deadline).await?;
        let text: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        serde_json::from_slice(text)
            .map_err(|source| ClientError::Unreadable { path: path.to_owned(), source })
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        deadline: Duration,
    ) -> Result<Bytes, ClientError> {
        let request = build(method, path, body, None)?;
        let exchange = async {
            let response = self.send(request, path, deadline).await?;
            let response = refuse_errors(response, path).await?;
            read_body(response, path).await
        };
        tokio::time::timeout(deadline, exchange)
            .await
            .map_err(|_elapsed| ClientError::Silent { path: path.to_owned(), deadline })?
    }

    async fn send(
        &self,
        request: Request<Full<Bytes>>,
        path: &str,
        deadline: Duration,
    ) -> Result<Response<Incoming>, ClientError> {
        let exchange = async {
            let mut sender = self.connect(path).await?;
            sender
                .send_request(request)
                .await
                .map_err(|source| ClientError::Broken { path: path.to_owned(), source })
        };
        tokio::time::timeout(deadline, exchange)
            .await
            .map_err(|_elapsed| ClientError::Silent { path: path.to_owned(), deadline })?
    }

    async fn connect(&self, path: &str) -> Result<SendRequest<Full<Bytes>>, ClientError> {
        let stream = self
            .transport
            .connect()
            .await
            .map_err(|source| ClientError::NotReachable { place: self.transport.to_string(), source })?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|source| ClientError::Broken { path: path.to_owned(), source })?;
        // The connection ends with its request or its upgraded stream; its errors reach whoever waits for those.
        tokio::spawn(connection.with_upgrades());
        Ok(sender)
    }
}

fn build(
    method: Method,
    path: &str,
    body: Bytes,
    upgrade: Option<&str>,
) -> Result<Request<Full<Bytes>>, ClientError> {
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, "bangerd");
    if !body.is_empty() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    if let Some(protocol) = upgrade {
        request = request.header(header::CONNECTION, "upgrade").header(header::UPGRADE, protocol);
    }
    request
        .body(Full::new(body))
        .map_err(|source| ClientError::Unwritable { path: path.to_owned(), source: Box::new(source) })
}

async fn refuse_errors(response: Response<Incoming>, path: &str) -> Result<Response<Incoming>, ClientError> {
    let status = response.status();
    if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(response);
    }
    let bytes = read_body(response, path).await?;
    let error = serde_json::from_slice::<ErrorBody>(&bytes)
        .map_err(|source| ClientError::Unreadable { path: path.to_owned(), source })?;
    Err(ClientError::Refused(Box::new(error)))
}

async fn read_body(response: Response<Incoming>, path: &str) -> Result<Bytes, ClientError> {
    let collected = response
        .into_body()
        .collect()
        .await
        .map_err(|source| ClientError::Broken { path: path.to_owned(), source })?;
    Ok(collected.to_bytes())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixListener;

    use super::*;
    use crate::transport::{Connecting, Connection};

    #[tokio::test]
    async fn a_missing_daemon_is_told_with_its_socket() {
        let client = Client::new(Path::new("/nonexistent/bangerd.sock"));
        let error = client.get::<serde_json::Value>(route::SHOW_INFO).await.unwrap_err();
        assert_eq!(error.to_string(), "no daemon listens on `/nonexistent/bangerd.sock`");
    }

    /// A daemon behind a pipe.
    struct Pipe;

    impl fmt::Display for Pipe {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a pipe")
        }
    }

    impl Transport for Pipe {
        fn connect(&self) -> Connecting<'_> {
            let (ours, mut theirs) = tokio::io::duplex(4096);
            tokio::spawn(async move {
                let mut asked = vec![0; 4096];
                let length = theirs.read(&mut asked).await.unwrap();
                assert!(asked[..length].starts_with(b"GET /v1/info HTTP/1.1\r\n"));
                theirs.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n7").await.unwrap();
            });
            Box::pin(async { Ok(Box::new(ours) as Box<dyn Connection>) })
        }
    }

    #[tokio::test]
    async fn any_way_to_a_daemon_will_do() {
        let client = Client::over(Arc::new(Pipe));
        assert_eq!(client.get::<u8>(route::SHOW_INFO).await.unwrap(), 7);
        assert!(format!("{client:?}").contains("a pipe"), "{client:?}");
    }

    /// A daemon that dies after so many bytes of its first answer, and whose successor lives.
    fn dies_after(bytes: usize, answer: &'static [u8], socket: &Path) -> tokio::task::JoinHandle<()> {
        let _ = std::fs::remove_file(socket);
        let listener = UnixListener::bind(socket).unwrap();
        tokio::spawn(async move {
            for length in [bytes, answer.len()] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut asked = vec![0; 4096];
                let mut length_asked = 0;
                while !asked[..length_asked].windows(4).any(|end| end == b"\r\n\r\n") {
                    length_asked += stream.read(&mut asked[length_asked..]).await.unwrap();
                }
                stream.write_all(&answer[..length]).await.unwrap();
            }
        })
    }

    #[tokio::test]
    async fn a_question_is_asked_again_wherever_the_daemon_died_in_its_answer() {
        const ANSWER: &[u8] =
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{\"is\": 7}";
        const OPENED: &[u8] =
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: banger-channel\r\n\r\n";
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("s");
        for bytes in 0..ANSWER.len() {
            let daemon = dies_after(bytes, ANSWER, &socket);
            let client = Client::new(&socket).with_successor(async || true);
            let answer: serde_json::Value = client.get(route::SHOW_INFO).await.unwrap();
            assert_eq!(answer["is"], 7, "after {bytes} bytes");
            daemon.await.unwrap();
        }
        for bytes in 0..OPENED.len() {
            let daemon = dies_after(bytes, OPENED, &socket);
            let client = Client::new(&socket).with_successor(async || true);
            client.upgrade(route::OPEN_VM_CHANNEL.of("a"), ANSWER_DEADLINE).await.unwrap();
            daemon.await.unwrap();
        }
    }

    #[tokio::test]
    async fn without_a_successor_the_loss_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("s");
        let _daemon = dies_after(5, b"HTTP/1.1 200 OK", &socket);
        let client = Client::new(&socket).with_successor(async || false);
        let error = client.get::<serde_json::Value>(route::SHOW_INFO).await.unwrap_err();
        assert_eq!(error.to_string(), "the connection to the daemon was lost during `/v1/info`");
    }

    #[tokio::test(start_paused = true)]
    async fn a_daemon_that_accepts_and_stays_silent_is_given_up() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("s");
        let _listener = UnixListener::bind(&socket).unwrap();
        let client = Client::new(&socket);
        let error = client.get::<serde_json::Value>(route::SHOW_INFO).await.unwrap_err();
        assert!(matches!(error, ClientError::Silent { .. }), "{error}");
        let error = client.upgrade(route::OPEN_VM_CHANNEL.of("a"), Duration::from_secs(3)).await.unwrap_err();
        assert!(matches!(error, ClientError::Silent { .. }), "{error}");
    }
}
