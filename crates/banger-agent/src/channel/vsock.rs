//! The channel over vsock: each port of the agent is a vsock port of the guest.

use std::time::{Duration, Instant};

use banger_agent_proto::{BELL_PORT, CONTROL_PORT, STREAM_PORT};
use tokio_vsock::{VMADDR_CID_ANY, VMADDR_CID_HOST, VsockAddr, VsockListener, VsockStream};

use super::ports::Ports;
use crate::console;

/// Pause between the end of an announcement and the next one; longer while nobody answers.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Listens on all ports if the machine has vsock, and announces this to the host. It is not an error if there is no vsock.
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

/// Announces to the host that the agent listens, and does so again whenever that stream has ended, because another daemon
/// has taken the machine, or the machine was restored from a snapshot, which ends all streams. A host that does not listen
/// finds out by itself.
async fn ring() {
    let mut pause = PAUSE_MIN;
    loop {
        let begun = Instant::now();
        if let Ok(mut stream) = VsockStream::connect(VsockAddr::new(VMADDR_CID_HOST, BELL_PORT)).await {
            // No data is sent on it; this waits for its end.
            let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        }
        pause = if begun.elapsed() > PAUSE_MAX { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
        tokio::time::sleep(pause).await;
    }
}
