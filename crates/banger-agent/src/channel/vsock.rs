//! The channel over vsock: each port of the agent is a port of the guest's vsock.

use banger_agent_proto::{CONTROL_PORT, STREAM_PORT};
use tokio_vsock::{VMADDR_CID_ANY, VsockAddr, VsockListener};

use super::ports::Ports;
use crate::console;

/// Listens on all ports where the machine has vsock; without it this is no error.
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
}
