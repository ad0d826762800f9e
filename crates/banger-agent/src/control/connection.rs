//! Serves gRPC on one stream of the channel.

use std::sync::Arc;

use banger_agent_proto::agent_server::AgentServer;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};

use super::Control;
use crate::channel::ByteStream;

/// Bytes of one call that may be in transit to the agent.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// Bytes of all calls of a connection that may be in transit to the agent.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// Bytes of one call that may wait for the host inside the connection.
const SEND_BUFFER_BYTES: usize = 128 * 1024;

/// Serves calls until the stream ends.
pub(crate) async fn serve(stream: ByteStream, control: Arc<Control>) {
    let service = TowerToHyperService::new(AgentServer::from_arc(control));
    // A broken stream is how a host goes away, so there is nothing to report.
    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
