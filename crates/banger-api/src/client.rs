//! The client: one connection per request, each with a deadline.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::{CHANNEL_PROTOCOL, ErrorBody, OperationView};

/// How long the daemon may take to answer anything that is not a long poll.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// How long one long poll may take: more than the daemon's own 25 s.
const POLL_DEADLINE: Duration = Duration::from_secs(40);

/// Why a request had no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("no daemon listens on `{}`", socket.display())]
    NotReachable {
        /// Where.
        socket: PathBuf,
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
    #[error("the connection to the daemon broke during `{path}`")]
    Broken {
        /// What was asked.
        path: String,
        /// Why.
        source: hyper::Error,
    },
    /// The request could not be written.
    #[error("the request `{path}` cannot be written")]
    Unwritable {
        /// What was asked.
        path: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer is not what this version expects.
    #[error("the daemon's answer to `{path}` makes no sense")]
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

/// Speaks to the daemon behind one socket.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// A client of the daemon behind this socket; connects with each request.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// Reads what is at `path`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.request(Method::GET, path, None::<&()>, ANSWER_DEADLINE).await
    }

    /// Reads what is at `path` as the JSON text that it comes as, for who only hands it on.
    ///
    /// # Errors
    /// [`ClientError`], apart from [`ClientError::Unreadable`]: nobody has read it yet.
    pub async fn get_text(&self, path: &str) -> Result<Bytes, ClientError> {
        self.exchange(Method::GET, path, Bytes::new(), ANSWER_DEADLINE).await
    }

    /// Asks for something.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.request(Method::POST, path, Some(body), ANSWER_DEADLINE).await
    }

    /// Asks for something that takes longer than an answer usually does.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn post_within<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        deadline: Duration,
    ) -> Result<T, ClientError> {
        self.request(Method::POST, path, Some(body), deadline).await
    }

    /// Waits until the operation has changed since `after`, or some 25 s have passed.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn operation(&self, id: &str, after: u64) -> Result<OperationView, ClientError> {
        let path = format!("/v1/operations/{id}?after={after}");
        self.request(Method::GET, &path, None::<&()>, POLL_DEADLINE).await
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
    pub async fn stream(&self, path: &str) -> Result<Incoming, ClientError> {
        let request = build(Method::GET, path, Bytes::new(), None)?;
        let response = self.send(request, path, ANSWER_DEADLINE).await?;
        let response = refuse_errors(response, path).await?;
        Ok(response.into_body())
    }

    /// Turns a request into a stream of bytes both ways.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn upgrade(&self, path: &str, deadline: Duration) -> Result<TokioIo<Upgraded>, ClientError> {
        let request = build(Method::GET, path, Bytes::new(), Some(CHANNEL_PROTOCOL))?;
        let response = self.send(request, path, deadline).await?;
        let response = refuse_errors(response, path).await?;
        let upgraded = hyper::upgrade::on(response)
            .await
            .map_err(|source| ClientError::Broken { path: path.to_owned(), source })?;
        Ok(TokioIo::new(upgraded))
    }

    async fn request<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
        deadline: Duration,
    ) -> Result<T, ClientError> {
        let body = match body {
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
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|source| ClientError::NotReachable { socket: self.socket.clone(), source })?;
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
    use tokio::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn a_missing_daemon_is_told_with_its_socket() {
        let client = Client::new(Path::new("/nonexistent/bangerd.sock"));
        let error = client.get::<serde_json::Value>("/v1/info").await.unwrap_err();
        assert_eq!(error.to_string(), "no daemon listens on `/nonexistent/bangerd.sock`");
    }

    #[tokio::test(start_paused = true)]
    async fn a_daemon_that_accepts_and_stays_silent_is_given_up() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("s");
        let _listener = UnixListener::bind(&socket).unwrap();
        let client = Client::new(&socket);
        let error = client.get::<serde_json::Value>("/v1/info").await.unwrap_err();
        assert!(matches!(error, ClientError::Silent { .. }), "{error}");
        let error = client.upgrade("/v1/vms/a/channel", Duration::from_secs(3)).await.unwrap_err();
        assert!(matches!(error, ClientError::Silent { .. }), "{error}");
    }
}
