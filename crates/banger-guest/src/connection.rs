//! One HTTP/2 connection over a given stream, as the service that tonic's client calls.

use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::body::Body;
use tower::Service;

use crate::AgentError;

/// Bytes that the guest may send ahead on one stream: enough for a command's output to use the channel's full speed.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
/// Bytes that the guest may send ahead on all streams together.
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// Largest frame: as large as the channel's own.
const FRAME_BYTES_MAX: u32 = 64 * 1024;
/// Longest response head, counted as HTTP/2 does.
const HEAD_BYTES_MAX: u32 = 16 * 1024;

/// The connection. Clones share it. It ends with the last clone and the last stream, or with its stream to the guest, which
/// lives as long as the machine: a silent guest may be busy, so silence does not end the connection.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    sender: SendRequest<Body>,
}

impl Connection {
    pub(crate) async fn open(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<Self, AgentError> {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(FRAME_BYTES_MAX)
            .max_header_list_size(HEAD_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|source| AgentError::Handshake { source })?;
        tokio::spawn(async move {
            // Callers that wait for an answer get the error, too.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection to the guest ended");
            }
        });
        Ok(Self { sender })
    }
}

impl Service<Request<Body>> for Connection {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.sender.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.sender.send_request(request))
    }
}
