//! Learns from systemd when its default target is reached.
//!
//! systemd as first process reports to a notification socket (`NOTIFY_SOCKET`) when its first jobs are done, as it would to
//! a container manager. That is one datagram without polling; only then is systemd asked once for its state.

use std::{
    os::{linux::net::SocketAddrExt as _, unix::net::SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{net::UnixDatagram, process::Command};

use super::readiness::ReadinessBoard;
use crate::{console, invocation::Start};

/// The socket in the form that systemd expects: abstract, so that no mount can hide it.
pub(crate) const NOTIFY_ADDRESS: &str = "@banger/notify";

const ANSWER_DEADLINE: Duration = Duration::from_secs(60);

/// Waits for systemd's report and records it.
pub(crate) fn watch_systemd(board: Arc<ReadinessBoard>, start: Start) {
    match bind() {
        Ok(socket) => drop(tokio::spawn(async move {
            board.system("starting", false);
            match start {
                Start::First => wait_for_ready(&socket).await,
                // systemd may have reported to an earlier agent: `ask` waits until systemd knows its state.
                Start::Again => {}
            }
            board.system(&ask().await, true);
        })),
        Err(error) => console::error(&error),
    }
}

fn bind() -> std::io::Result<UnixDatagram> {
    let address = SocketAddr::from_abstract_name(NOTIFY_ADDRESS.trim_start_matches('@'))?;
    let socket = std::os::unix::net::UnixDatagram::bind_addr(&address)?;
    socket.set_nonblocking(true)?;
    UnixDatagram::from_std(socket)
}

async fn wait_for_ready(socket: &UnixDatagram) {
    let mut message = [0; 4096];
    while let Ok(count) = socket.recv(&mut message).await {
        if is_ready(message.get(..count).unwrap_or_default()) {
            return;
        }
    }
}

fn is_ready(message: &[u8]) -> bool {
    message.split(|b| *b == b'\n').any(|line| line == b"READY=1")
}

/// Returns `running`, `degraded` and so on. The default target was reached, so an unclear answer counts as `running`.
async fn ask() -> String {
    let answer = Command::new("systemctl").args(["is-system-running", "--wait"]).kill_on_drop(true).output();
    match tokio::time::timeout(ANSWER_DEADLINE, answer).await {
        Ok(Ok(output)) if !output.stdout.is_empty() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        Ok(_) | Err(_) => "running".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_one_line_among_others() {
        assert!(is_ready(b"READY=1\nSTATUS=Startup finished in 5s."));
        assert!(!is_ready(b"STATUS=READY=1"));
        assert!(!is_ready(b"X_SYSTEMD_UNIT_ACTIVE=basic.target"));
    }
}
