//! The channel over vsock: each port of the agent is a port of the guest's vsock.

use banger_agent_proto::{BELL_PORT, CONTROL_PORT, STREAM_PORT};
use tokio_vsock::{VMADDR_CID_ANY, VMADDR_CID_HOST, VsockAddr, VsockListener, VsockStream};

use super::ports::Ports;
use crate::console;

/// Listens on all ports where the machine has vsock, and tells the host; without it this is no error.
pub(crate) fn listen(ports: &Ports) {
    for port in [CONTROL_PORT, STREAM_PORT] {
        let Ok(listener) = VsockListener::bind(VsockAddr::new(VMADDR_CID_ANY, port)) else { return };
        let ports = ports.clone();
        tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _host)) => {
                        let ports = ports.clone();
                        tokio::spawn(async move { ports.enter(port, Box::new(stream)).await });
                    }
                    Err(error) => return console::error(&error),
                }
            }
        });
    }
    tokio::spawn(ring());
}

/// Tells the host that the agent listens. A host that is not there finds out by itself.
async fn ring() {
    let _ = VsockStream::connect(VsockAddr::new(VMADDR_CID_HOST, BELL_PORT)).await;
}
