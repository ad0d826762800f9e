//! Firecracker's control protocol: HTTP/1.1 with JSON on a Unix socket.
//!
//! Firecracker serves one request after the other, so a snapshot holds up all others; every request has a deadline of its
//! own. Each answer's status is looked at: after a refused `machine-config` a start would succeed with one processor and
//! 128 MiB.

mod types;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::version::Version;

pub use types::*;

/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Longest request body that Firecracker takes (`--http-api-max-payload-size`).
const REQUEST_BYTES_MAX: usize = 51_200;

/// Why a request was of no use.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Nobody listens on the socket.
    #[error("cannot reach Firecracker's API")]
    Connect(#[source] io::Error),
    /// The body is longer than Firecracker takes.
    #[error("the body of `{request}` is too long")]
    TooLong {
        /// Method and path.
        request: String,
    },
    /// The body could not be written.
    #[error("the body of `{request}` cannot be written")]
    Encode {
        /// Method and path.
        request: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The connection broke, or what came back is not HTTP.
    #[error("Firecracker's API failed during `{request}`")]
    Broken {
        /// Method and path.
        request: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer is not what the API promises.
    #[error("Firecracker's answer to `{request}` is invalid")]
    BadAnswer {
        /// Method and path.
        request: String,
        /// Why.
        source: serde_json::Error,
    },
    /// Firecracker refused.
    #[error("Firecracker refuses `{request}` ({status}): {reason}")]
    Refused {
        /// Method and path.
        request: String,
        /// HTTP status.
        status: StatusCode,
        /// Its `fault_message`.
        reason: String,
    },
    /// Firecracker did not answer.
    #[error("Firecracker did not answer `{request}` within {} s", .deadline.as_secs_f32())]
    Silent {
        /// Method and path.
        request: String,
        /// What it was given.
        deadline: Duration,
    },
}

/// A client of one Firecracker. Each request has a connection of its own: nothing is left in between that could break.
#[derive(Clone, Debug)]
pub struct Api {
    socket: PathBuf,
    deadline: Duration,
}

impl Api {
    /// A client that gives each request this long.
    #[must_use]
    pub fn new(socket: impl Into<PathBuf>, deadline: Duration) -> Self {
        Self { socket: socket.into(), deadline }
    }

    /// The same client with another deadline.
    #[must_use]
    pub fn within(&self, deadline: Duration) -> Self {
        Self { socket: self.socket.clone(), deadline }
    }

    /// Returns the version that runs.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn version(&self) -> Result<Version, ApiError> {
        let answer: VersionAnswer = self.get("/version").await?;
        answer.firecracker_version.parse().map_err(|source| ApiError::BadAnswer {
            request: "GET /version".to_owned(),
            source: serde::de::Error::custom(source),
        })
    }

    /// Returns what the machine does.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn instance(&self) -> Result<Instance, ApiError> {
        self.get("/").await
    }

    /// Returns what the machine is made of.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn machine_config(&self) -> Result<MachineConfigAnswer, ApiError> {
        self.get("/machine-config").await
    }

    /// Sets up a part of the machine.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn put(&self, path: &str, body: &(impl Serialize + Sync)) -> Result<(), ApiError> {
        self.send(Method::PUT, path, body).await
    }

    /// Holds the guest, or lets it go on. What is so already stays so.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn change(&self, change: VmChange) -> Result<(), ApiError> {
        self.send(Method::PATCH, "/vm", &change).await
    }

    async fn send(&self, method: Method, path: &str, body: &(impl Serialize + Sync)) -> Result<(), ApiError> {
        let request = format!("{method} {path}");
        let body = serde_json::to_vec(body)
            .map_err(|source| ApiError::Encode { request: request.clone(), source })?;
        if body.len() > REQUEST_BYTES_MAX {
            return Err(ApiError::TooLong { request });
        }
        self.exchange(request, method, path, body).await.map(drop)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        let request = format!("GET {path}");
        let answer = self.exchange(request.clone(), Method::GET, path, Vec::new()).await?;
        serde_json::from_slice(&answer).map_err(|source| ApiError::BadAnswer { request, source })
    }

    async fn exchange(
        &self,
        request: String,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Bytes, ApiError> {
        let exchange = async {
            let stream = banger_sys::socket::connect(&self.socket).await.map_err(ApiError::Connect)?;
            talk(stream, &request, method, path, body).await
        };
        let (status, answer) = match tokio::time::timeout(self.deadline, exchange).await {
            Ok(exchanged) => exchanged?,
            Err(_late) => return Err(ApiError::Silent { request, deadline: self.deadline }),
        };
        if status.is_success() {
            return Ok(answer);
        }
        let reason = match serde_json::from_slice::<FaultAnswer>(&answer) {
            Ok(fault) => fault.fault_message,
            Err(_other) => String::from_utf8_lossy(&answer).into_owned(),
        };
        Err(ApiError::Refused { request, status, reason })
    }
}

async fn talk(
    stream: UnixStream,
    request: &str,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> Result<(StatusCode, Bytes), ApiError> {
    let broken =
        |source: hyper::Error| ApiError::Broken { request: request.to_owned(), source: source.into() };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let message = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .header("accept", "application/json")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|source| ApiError::Broken { request: request.to_owned(), source: source.into() })?;
    let exchange = async {
        let answer = sender.send_request(message).await.map_err(broken)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|source| ApiError::Broken { request: request.to_owned(), source })?;
        Ok((status, body.to_bytes()))
    };
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        biased;
        exchanged = exchange => exchanged,
        // The connection is driven here; it ends before the answer only when it breaks, which the exchange then tells.
        Err(error) = &mut connection => Err(broken(error)),
    }
}
