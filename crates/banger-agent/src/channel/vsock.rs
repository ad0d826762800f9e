//! The channel over vsock: each port of the agent is a port of the guest's vsock.

use std::time::{Duration, Instant};

use banger_agent_proto::{BELL_PORT, CONTROL_PORT, STREAM_PORT};
use tokio_vsock::{VMADDR_CID_ANY, VMADDR_CID_HOST, VsockAddr, VsockListener, VsockStream};

use super::ports::Ports;
use crate::console;

/// How soon a ring that ended is followed by the next; longer where nobody answers.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_secs(5);

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

/// Tells the host that the agent listens, and tells it again whenever that stream has ended: another daemon has the machine, or
/// it was made from a snapshot, which ends all streams. A host that is not there finds out by itself.
async fn ring() {
    let mut pause = PAUSE_MIN;
    loop {
        let begun = Instant::now();
        if let Ok(mut stream) = VsockStream::connect(VsockAddr::new(VMADDR_CID_HOST, BELL_PORT)).await {
            // Nothing is said on it: what is waited for is its end.
            let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        }
        pause = if begun.elapsed() > PAUSE_MAX { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
        tokio::time::sleep(pause).await;
    }
}
