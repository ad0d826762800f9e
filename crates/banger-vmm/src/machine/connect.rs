//! Opens a stream to a port of the guest: `CONNECT <port>\n` out, `OK <number>\n` back.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use super::presence::{Listener, Presence};
use crate::contract::ConnectError;

/// Longest answer: `OK 4294967295\n`.
const ANSWER_BYTES_MAX: usize = 32;

/// How long after its sockets a process may take to end.
const END_WAIT: Duration = Duration::from_secs(1);

/// The same where a guest that simply does not listen is far likelier.
const END_WAIT_OF_A_REFUSAL: Duration = Duration::from_millis(50);

/// How long a ring of the agent is waited for before it is called without: its ring is lost while no daemon runs, and
/// agents of older versions do not ring.
const RING_WAIT_FIRST: Duration = Duration::from_millis(50);
const RING_WAIT_LAST: Duration = Duration::from_secs(1);

/// How long a ring is waited for that tells of streams which last. A guest of a busy host takes a second.
const STREAMS_LOST_WAIT: Duration = Duration::from_secs(5);

pub(super) async fn connect(
    channel_socket: &Path,
    port: u32,
    deadline: Duration,
    machine_end: &CancellationToken,
    presence: &Presence,
) -> Result<UnixStream, ConnectError> {
    let opened = tokio::select! {
        biased;
        () = machine_end.cancelled() => return Err(ConnectError::MachineEnded),
        opened = tokio::time::timeout(deadline, open_when_present(channel_socket, port, presence)) => opened,
    };
    let error = match opened {
        Ok(Ok(stream)) => return Ok(stream),
        Ok(Err(error)) => error,
        Err(_late) => ConnectError::Silent { deadline },
    };
    // Whatever went wrong on the way, the machine's end explains it; its sockets break a moment before it is seen.
    let moment = match &error {
        ConnectError::Channel(_) | ConnectError::SocketRemoved { .. } => END_WAIT,
        ConnectError::Refused { .. } => END_WAIT_OF_A_REFUSAL,
        ConnectError::MachineEnded | ConnectError::Silent { .. } => Duration::ZERO,
    };
    match tokio::time::timeout(moment, machine_end.cancelled()).await {
        Ok(()) => Err(ConnectError::MachineEnded),
        Err(_lives) => Err(error),
    }
}

async fn open_when_present(
    channel_socket: &Path,
    port: u32,
    presence: &Presence,
) -> Result<UnixStream, ConnectError> {
    let bell = match presence {
        Presence::Told => return open(channel_socket, port).await,
        Presence::Rung(bell) => bell,
    };
    let mut rung = bell.subscribe();
    let streams_last = rung.wait_for(|listener| *listener != Listener::LosesStreams);
    if tokio::time::timeout(STREAMS_LOST_WAIT, streams_last).await.is_err() {
        // Its ring was lost, or it is an older agent, which rings once.
        bell.send_if_modified(|listener| std::mem::replace(listener, Listener::Unknown) != Listener::Unknown);
    }
    let mut wait = RING_WAIT_FIRST;
    loop {
        // Looked at before the try: an agent that rings meanwhile gets another one.
        let is_there = *rung.borrow_and_update() == Listener::Listens;
        match open(channel_socket, port).await {
            Err(ConnectError::Refused { .. }) if !is_there => {
                let agent_rings = async {
                    if rung.wait_for(|listener| *listener == Listener::Listens).await.is_err() {
                        std::future::pending::<()>().await;
                    }
                };
                let _ = tokio::time::timeout(wait, agent_rings).await;
                wait = (wait * 2).min(RING_WAIT_LAST);
            }
            opened => return opened,
        }
    }
}

async fn open(channel_socket: &Path, port: u32) -> Result<UnixStream, ConnectError> {
    let connected = banger_sys::socket::connect(channel_socket).await;
    let mut stream = connected.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ConnectError::SocketRemoved { path: channel_socket.to_owned() },
        _ => ConnectError::Channel(error),
    })?;
    // A VMM that ends the stream at once may do so before the line is written.
    let written = stream.write_all(format!("CONNECT {port}\n").as_bytes()).await;
    let mut answer = Vec::with_capacity(ANSWER_BYTES_MAX);
    loop {
        // One byte at a time: what follows the line belongs to the caller.
        match stream.read_u8().await {
            Ok(b'\n') => break,
            Ok(byte) if answer.len() < ANSWER_BYTES_MAX => answer.push(byte),
            Ok(_) => return Err(bad_answer()),
            Err(error) if is_end(&error) && answer.is_empty() => {
                return Err(ConnectError::Refused { port });
            }
            Err(error) => return Err(ConnectError::Channel(written.err().unwrap_or(error))),
        }
    }
    if answer.starts_with(b"OK ") { Ok(stream) } else { Err(bad_answer()) }
}

fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
}

fn bad_answer() -> ConnectError {
    ConnectError::Channel(io::Error::new(io::ErrorKind::InvalidData, "the guest did not answer with `OK`"))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncBufReadExt as _;
    use tokio::net::UnixListener;
    use tokio::sync::watch;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// Ends every stream without an answer until `rings` says that the agent is there, which it learns at the first end.
    async fn serve(listener: UnixListener, rings: Option<watch::Sender<Listener>>) {
        let mut is_there = false;
        loop {
            let mut stream = tokio::io::BufReader::new(listener.accept().await.unwrap().0);
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            if is_there && line == "CONNECT 1024\n" {
                stream.write_all(b"OK 7\nbehind").await.unwrap();
            }
            if let Some(rings) = &rings {
                is_there = true;
                rings.send_replace(Listener::Listens);
            }
        }
    }

    async fn try_port(port: u32, rings: bool, deadline: Duration) -> Result<UnixStream, ConnectError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("channel.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let bell = watch::Sender::new(Listener::Unknown);
        let served = tokio::spawn(serve(listener, rings.then(|| bell.clone())));
        let end = CancellationToken::new();
        let connected = connect(&path, port, deadline, &end, &Presence::Rung(bell)).await;
        served.abort();
        connected
    }

    #[tokio::test]
    async fn an_agent_that_rings_is_tried_again_at_once() {
        let mut stream = try_port(1024, true, LONG).await.unwrap();
        let mut behind = String::new();
        stream.read_to_string(&mut behind).await.unwrap();
        assert_eq!(behind, "behind");
    }

    #[tokio::test]
    async fn an_agent_that_is_there_may_refuse() {
        assert!(matches!(try_port(99, true, LONG).await, Err(ConnectError::Refused { port: 99 })));
    }

    #[tokio::test]
    async fn no_stream_is_opened_before_a_guest_has_lost_those_that_it_loses() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("channel.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let bell = watch::Sender::new(Listener::LosesStreams);
        let (end, presence) = (CancellationToken::new(), Presence::Rung(bell.clone()));
        let guest = async {
            // The caller has had its turn, and more of them than it needs to connect.
            for _ in 0..100 {
                assert!(futures::poll!(Box::pin(listener.accept())).is_pending());
                tokio::task::yield_now().await;
            }
            bell.send_replace(Listener::Listens);
            let mut stream = tokio::io::BufReader::new(listener.accept().await.unwrap().0);
            stream.read_line(&mut String::new()).await.unwrap();
            stream.write_all(b"OK 7\n").await.unwrap();
        };
        let (connected, ()) = tokio::join!(connect(&path, 1024, LONG, &end, &presence), guest);
        connected.unwrap();
    }

    #[tokio::test]
    async fn an_agent_that_never_comes_costs_the_deadline() {
        let short = Duration::from_millis(300);
        assert!(matches!(try_port(1024, false, short).await, Err(ConnectError::Silent { .. })));
    }
}
