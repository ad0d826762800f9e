//! The serial channel: sessions begin, break and begin again on one pipe.

use std::{
    future::poll_fn,
    sync::atomic::{AtomicU64, Ordering},
    task::Poll,
};

use banger_agent::channel::{serial_port::SerialPort, session};
use banger_agent_proto::{
    CONTROL_PORT, HelloRequest,
    sync::{FLUSH_BYTES, Line, LineScanner},
};
use futures::channel::oneshot;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};
use tokio_util::compat::{FuturesAsyncReadCompatExt as _, TokioAsyncReadCompatExt as _};
use yamux::{Config, Connection, Mode};

use crate::guest::{PATIENCE, client_on, ports, read_line};

static NONCE: AtomicU64 = AtomicU64::new(1);

/// A pipe whose other end is the agent's serial port.
fn pipe() -> UnixStream {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (host, guest) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
    let mut port = SerialPort::new(guest).unwrap();
    tokio::spawn(async move { session::serve(&mut port, &ports()).await });
    UnixStream::from_std(host.into()).unwrap()
}

/// Sends SYN, waits for the ACK, sends GO.
async fn handshake(pipe: &mut UnixStream) {
    let nonce = NONCE.fetch_add(1, Ordering::Relaxed);
    pipe.write_all(&Line::Syn(nonce).encode()).await.unwrap();
    let mut scanner = LineScanner::default();
    while scanner.push(pipe.read_u8().await.unwrap()) != Some(Line::Ack(nonce)) {}
    pipe.write_all(&Line::Go(nonce).encode()).await.unwrap();
}

/// Runs a session: one hello, then `after` on the pipe in its current state.
async fn hello(pipe: UnixStream) -> UnixStream {
    let (stop, mut stopped) = oneshot::channel::<()>();
    let (opened, stream) = oneshot::channel();
    // The connection returns its pipe only by being dropped, so it works on a copy of the descriptor.
    let copy = pipe.into_std().unwrap();
    let kept = copy.try_clone().unwrap();
    let copy = UnixStream::from_std(copy).unwrap();
    let session = tokio::spawn(async move {
        let mut connection = Connection::new(copy.compat(), Config::default(), Mode::Client);
        let mut opened = Some(opened);
        poll_fn(|context| {
            if let Some(sender) = opened.take() {
                match connection.poll_new_outbound(context) {
                    Poll::Ready(stream) => drop(sender.send(stream.unwrap())),
                    Poll::Pending => opened = Some(sender),
                }
            }
            if connection.poll_next_inbound(context).is_ready() {
                return Poll::Ready(());
            }
            std::pin::Pin::new(&mut stopped).poll(context).map(|_| ())
        })
        .await;
    });
    let mut stream = stream.await.unwrap().compat();
    stream.write_all(format!("CONNECT {CONTROL_PORT}\n").as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(read_line(&mut stream).await, format!("OK {CONTROL_PORT}"));
    let mut client = client_on(stream).await;
    client.hello(HelloRequest::default()).await.unwrap();
    let _ = stop.send(());
    session.await.unwrap();
    UnixStream::from_std(kept).unwrap()
}

async fn within_patience(test: impl Future<Output = ()>) {
    tokio::time::timeout(PATIENCE, test).await.expect("the channel answers in time");
}

#[tokio::test]
async fn a_session_begins_behind_garbage() {
    within_patience(async {
        let mut pipe = pipe();
        let mut garbage: Vec<u8> = (0..100_000_u32).map(|n| u8::try_from(n * 7 % 251).unwrap()).collect();
        garbage.extend(b"\nbanger-channel-1 SYN 12\nbanger-channel-1 GO 0000000000000001");
        pipe.write_all(&garbage).await.unwrap();
        handshake(&mut pipe).await;
        hello(pipe).await;
    })
    .await;
}

#[tokio::test]
async fn hosts_come_and_go_on_the_same_pipe() {
    within_patience(async {
        let mut pipe = pipe();
        for _ in 0..20 {
            handshake(&mut pipe).await;
            pipe = hello(pipe).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_host_that_died_in_the_middle_of_a_frame_is_followed_by_the_next() {
    within_patience(async {
        let mut pipe = pipe();
        for missing in [1, 100, FLUSH_BYTES - 1] {
            handshake(&mut pipe).await;
            pipe = hello(pipe).await;
            // A data frame of an unopened stream that is never completed: version, type, flags (SYN), id, length.
            let length = u32::try_from(FLUSH_BYTES).unwrap();
            let mut frame = vec![0, 0, 0, 1];
            frame.extend(1001_u32.to_be_bytes());
            frame.extend(length.to_be_bytes());
            frame.extend(vec![b'x'; FLUSH_BYTES - missing]);
            pipe.write_all(&frame).await.unwrap();
            pipe.write_all(&vec![b'\n'; FLUSH_BYTES]).await.unwrap();
            handshake(&mut pipe).await;
            pipe = hello(pipe).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_repeated_request_is_answered_once() {
    within_patience(async {
        let mut pipe = pipe();
        for _ in 0..3 {
            pipe.write_all(&Line::Syn(5).encode()).await.unwrap();
        }
        pipe.write_all(&Line::Go(5).encode()).await.unwrap();
        let expected = Line::Ack(5).encode();
        let mut answer = vec![0; expected.len()];
        pipe.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, expected);
        // The next bytes belong to the session and are not a second answer.
        hello(pipe).await;
    })
    .await;
}

#[tokio::test]
async fn a_port_that_ended_is_alive_again_with_the_next_host() {
    within_patience(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        let mut port = {
            let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK;
            SerialPort::new(rustix::fs::open(&path, flags, rustix::fs::Mode::empty()).unwrap()).unwrap()
        };
        for round in 0..3_u8 {
            let writer = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
            std::io::Write::write_all(&mut &writer, &[round]).unwrap();
            drop(writer);
            let mut seen = Vec::new();
            while seen.is_empty() {
                // An end is reported once and then waited out.
                let mut byte = [0];
                let count = port.read(&mut byte).await.unwrap();
                seen.extend_from_slice(&byte[..count]);
            }
            assert_eq!(seen, [round]);
        }
    })
    .await;
}
