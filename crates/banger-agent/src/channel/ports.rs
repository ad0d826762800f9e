//! The services behind the numbered ports.

use std::sync::Arc;

use super::stream::ByteStream;
use crate::{
    control::{Control, connection},
    stream_port::StreamPort,
};
use banger_agent_proto::{CONTROL_PORT, STREAM_PORT};

/// The services of the agent, by port.
#[derive(Clone, Debug)]
pub struct Ports {
    control: Arc<Control>,
    streams: Arc<StreamPort>,
}

impl Ports {
    pub(crate) fn new(control: Arc<Control>, streams: StreamPort) -> Self {
        Self { control, streams: Arc::new(streams) }
    }

    pub(crate) fn is_known(port: u32) -> bool {
        matches!(port, CONTROL_PORT | STREAM_PORT)
    }

    /// Serves a stream until it ends.
    pub(crate) async fn enter(&self, port: u32, stream: ByteStream) {
        match port {
            CONTROL_PORT => connection::serve(stream, Arc::clone(&self.control)).await,
            STREAM_PORT => self.streams.serve(stream).await,
            _ => {}
        }
    }
}
