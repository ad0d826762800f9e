//! The channel against a guest that speaks the guest's side.

mod guest;
mod hostile;

use std::path::PathBuf;
use std::time::Duration;

use banger_agent_proto::sync::Line;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::{Past, serve};
use guest::{COUNT, ECHO, Guest, MUTE, Port, SOURCE, SOURCE_BYTES, STUCK};

struct Host {
    socket: PathBuf,
    machine_end: CancellationToken,
    _channel: AbortOnDropHandle<()>,
    _directory: TempDir,
}

fn host() -> (Host, Port) {
    let directory = tempfile::tempdir().unwrap();
    let port = Port::open(directory.path());
    let socket = directory.path().join("channel.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let machine_end = CancellationToken::new();
    let channel = serve(listener, port.path.clone(), Past::Fresh, machine_end.clone());
    (Host { socket, machine_end, _channel: channel, _directory: directory }, port)
}

impl Host {
    /// Opens a stream and reads its `OK`. Empty: the guest refused.
    async fn open(&self, port: u32) -> (UnixStream, String) {
        let mut stream = UnixStream::connect(&self.socket).await.unwrap();
        stream.write_all(format!("CONNECT {port}\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        while !answer.ends_with('\n') {
            match stream.read_u8().await {
                Ok(byte) => answer.push(byte.into()),
                Err(_end) => break,
            }
        }
        (stream, answer)
    }
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), work).await.expect("this takes too long")
}

/// Bytes that differ by stream and place.
fn pattern(seed: usize, length: usize) -> Vec<u8> {
    (0..length).map(|place| (place * 31 + seed * 17 + place / 251).to_le_bytes()[0]).collect()
}

async fn echo(host: &Host, seed: usize, length: usize) {
    let (stream, answer) = host.open(ECHO).await;
    assert_eq!(answer, "OK 1\n");
    let sent = pattern(seed, length);
    let (mut input, mut output) = stream.into_split();
    let writer = async {
        output.write_all(&sent).await.unwrap();
        output.shutdown().await.unwrap();
    };
    let mut received = Vec::new();
    let reader = async { input.read_to_end(&mut received).await.unwrap() };
    tokio::join!(writer, reader);
    assert!(received == sent, "stream {seed}: {} of {} bytes", received.len(), sent.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_streams_at_once_keep_their_bytes_apart() {
    let (host, port) = host();
    let _guest = port.serve().await;
    let streams = (0..100).map(|seed| echo(&host, seed, 300_000));
    soon(futures::future::join_all(streams)).await;
}

#[tokio::test]
async fn more_callers_than_places_are_all_served() {
    let (host, port) = host();
    let _guest = port.serve().await;
    let streams = (0..600).map(|seed| echo(&host, seed, 100));
    soon(futures::future::join_all(streams)).await;
}

#[tokio::test]
async fn one_way_ends_while_the_other_goes_on() {
    let (host, port) = host();
    let _guest = port.serve().await;
    let (mut stream, _) = soon(host.open(COUNT)).await;
    stream.write_all(&vec![1; 100_000]).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut count = String::new();
    soon(stream.read_to_string(&mut count)).await.unwrap();
    assert_eq!(count, "100000");
}

#[tokio::test]
async fn a_caller_before_the_guest_waits_for_it() {
    let (host, port) = host();
    let opened = host.open(ECHO);
    let guest = async {
        let mut pipe = port.accept().await;
        // The caller and the opening of the handshake are there long before the guest looks.
        pipe.readable().await.unwrap();
        guest::grant(&mut pipe).await;
        Guest::run(guest::multiplex(pipe))
    };
    let ((_, answer), _guest) = soon(async { tokio::join!(opened, guest) }).await;
    assert_eq!(answer, "OK 1\n");
}

#[tokio::test]
async fn a_slow_reader_holds_back_only_its_own_stream() {
    let (host, port) = host();
    let _guest = port.serve().await;
    let (mut slow, _) = soon(host.open(SOURCE)).await;
    let (mut stuck, _) = soon(host.open(STUCK)).await;
    // The guest never reads: what it takes ends at the windows and the sockets' buffers.
    let mut taken = 0;
    let block = vec![0; 64 * 1024];
    while let Ok(written) = tokio::time::timeout(Duration::from_millis(500), stuck.write(&block)).await {
        taken += written.unwrap();
        assert!(taken < 4 * 1024 * 1024, "{taken} bytes are held somewhere");
    }
    soon(echo(&host, 1, 1_000_000)).await;
    let mut received = 0;
    let mut buffer = vec![0; 64 * 1024];
    soon(async {
        loop {
            match slow.read(&mut buffer).await.unwrap() {
                0 => break,
                count => received += count,
            }
        }
    })
    .await;
    assert_eq!(received, SOURCE_BYTES);
}

#[tokio::test]
async fn a_port_that_nobody_serves_is_refused() {
    let (host, port) = host();
    let _guest = port.serve().await;
    let (_, answer) = soon(host.open(99)).await;
    assert_eq!(answer, "");
    soon(echo(&host, 1, 10)).await;
}

#[tokio::test]
async fn a_break_in_mid_frame_ends_the_streams_and_a_new_session_follows() {
    let (host, port) = host();
    let guest = port.serve().await;
    let (mut stream, _) = soon(host.open(SOURCE)).await;
    stream.read_exact(&mut vec![0; 100_000]).await.unwrap();
    drop(guest);
    let rest = soon(async { stream.read_to_end(&mut Vec::new()).await }).await;
    assert!(rest.is_ok());
    let _guest = soon(port.serve()).await;
    soon(echo(&host, 2, 100_000)).await;
}

#[tokio::test]
async fn a_question_that_met_a_breaking_session_is_asked_again() {
    let (host, port) = host();
    let mut pipe = port.accept().await;
    let opened = host.open(ECHO);
    let guest = async {
        guest::grant(&mut pipe).await;
        // The question is on its way; then the guest says something that is no frame.
        pipe.read_exact(&mut [0; 12]).await.unwrap();
        pipe.write_all(b"\nwhat?\nwhat?\nwhat?\n").await.unwrap();
        let guest = port.serve().await;
        drop(pipe);
        guest
    };
    let ((_, answer), _guest) = soon(async { tokio::join!(opened, guest) }).await;
    assert_eq!(answer, "OK 1\n");
}

#[tokio::test]
async fn noise_before_the_answer_is_skipped() {
    let (host, port) = host();
    let mut pipe = port.accept().await;
    pipe.write_all(&pattern(3, 10_000)).await.unwrap();
    pipe.write_all(&Line::Ack(12).encode()).await.unwrap();
    pipe.write_all(&Line::Go(12).encode()).await.unwrap();
    let _guest = Guest::run(guest::serve(pipe));
    soon(echo(&host, 1, 1000)).await;
}

#[tokio::test]
async fn the_end_of_the_machine_ends_every_stream_and_every_wait() {
    let (host, port) = host();
    let _guest = port.serve().await;
    let (mut open, _) = soon(host.open(ECHO)).await;
    let mut waiting = UnixStream::connect(&host.socket).await.unwrap();
    waiting.write_all(format!("CONNECT {MUTE}\n").as_bytes()).await.unwrap();
    host.machine_end.cancel();
    for stream in [&mut open, &mut waiting] {
        assert_eq!(soon(stream.read(&mut [0; 10])).await.unwrap_or(0), 0);
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_resets_its_stream() {
    let (host, port) = host();
    let _guest = port.serve().await;
    // Far more than the guest has places for: each must be given back.
    for _ in 0..600 {
        let (stream, answer) = soon(host.open(SOURCE)).await;
        assert_eq!(answer, "OK 2\n");
        drop(stream);
    }
}
