//! Guests that lie, are busy, or began anew. Costs are told by what is taken from a guest, not by the clock.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use banger_agent_proto::sync::{Line, LineScanner};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::guest::{self, COUNT, ECHO, Guest, SOURCE};
use super::{echo, host, soon};
use crate::channel::conduct::HELD_BYTES_MAX;
use crate::channel::session::Session;

const SYN: u16 = 1;
const MIB: usize = 1024 * 1024;

/// A frame of yamux by its numbers.
fn frame(kind: u8, flags: u16, stream: u32, length: u32) -> Vec<u8> {
    let mut frame = vec![0, kind];
    frame.extend(flags.to_be_bytes());
    frame.extend(stream.to_be_bytes());
    frame.extend(length.to_be_bytes());
    frame
}

fn data(flags: u16, stream: u32, length: u32) -> Vec<u8> {
    let mut bytes = frame(0, flags, stream, length);
    bytes.resize(bytes.len() + length as usize, 7);
    bytes
}

/// Writes the same bytes until the other end gives up, and reads what it says; returns how many it took.
async fn flood(pipe: &mut UnixStream, bytes: &[u8]) -> usize {
    let (mut input, mut output) = pipe.split();
    let mut taken = 0;
    let write = async {
        while let Ok(count) = output.write(bytes).await {
            taken += count;
        }
    };
    let mut nowhere = tokio::io::sink();
    let _said = tokio::join!(write, tokio::io::copy(&mut input, &mut nowhere));
    taken
}

#[tokio::test]
async fn a_guest_that_lies_is_given_up_before_it_costs_much() {
    for (lie, bytes) in [
        ("opens streams", data(SYN, 2, 200_000)),
        ("opens empty streams", frame(1, SYN, 2, 0)),
        ("opens and ends streams", frame(1, SYN | 4, 2, 0)),
        ("sends for streams that never were", data(0, 7, 200_000)),
        ("sends for no stream", data(0, 0, 100)),
        ("announces 4 GiB", frame(0, 0, 1, u32::MAX)),
        ("asks for signs of life", frame(2, SYN, 0, 1)),
        ("answers what nobody asked", frame(2, 2, 0, 1)),
        ("widens its windows", frame(1, 0, 1, u32::MAX)),
        ("sends no frames", b"what?".to_vec()),
        ("sends newlines", vec![b'\n'; 4096]),
    ] {
        let (host, port) = host();
        let mut pipe = port.accept().await;
        soon(guest::grant(&mut pipe)).await;
        let given_up = tokio::time::timeout(Duration::from_secs(20), flood(&mut pipe, &bytes)).await;
        let taken = given_up.unwrap_or_else(|_late| panic!("a guest that {lie} is not given up"));
        assert!(taken < MIB, "a guest that {lie} got {taken} bytes through");
        drop(pipe);
        let _honest = soon(port.serve()).await;
        soon(echo(&host, 1, 1000)).await;
    }
}

#[tokio::test]
async fn a_guest_that_answers_and_goes_on_beyond_its_window_is_given_up() {
    let (host, port) = host();
    let mut pipe = port.accept().await;
    let (_, answer) = soon(async {
        let lying = async {
            guest::grant(&mut pipe).await;
            pipe.read_exact(&mut [0; 12 + 10]).await.unwrap();
            pipe.write_all(&[frame(0, 2, 1, 5), b"OK 1\n".to_vec()].concat()).await.unwrap();
        };
        tokio::join!(lying, host.open(ECHO)).1
    })
    .await;
    assert_eq!(answer, "OK 1\n");
    // The caller reads on and has gone: what comes for it is within what a gone caller may still get.
    let taken = soon(flood(&mut pipe, &data(0, 1, 10_000))).await;
    assert!(taken < 8 * MIB, "{taken} bytes went through");
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_lies_again_and_again_is_met_less_and_less() {
    let (_host, port) = host();
    let lying = async {
        let mut sessions = 0;
        loop {
            let mut pipe = port.accept().await;
            guest::grant(&mut pipe).await;
            sessions += 1;
            flood(&mut pipe, &frame(1, SYN, 2, 0)).await;
            if sessions == 12 {
                return;
            }
        }
    };
    let started = tokio::time::Instant::now();
    lying.await;
    assert!(started.elapsed() > Duration::from_secs(100), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_the_streams_of_a_guest_hold_is_bounded_for_all_of_them_together() {
    let (ours, mut theirs) = tokio::io::duplex(64 * 1024);
    let (session, driven) = Session::start(ours);
    let _driven = Guest::run(async { drop(driven.await) });
    let mut streams = Vec::new();
    for _ in 0..100 {
        streams.push(session.open().await.unwrap());
    }
    // 25 MiB, all of it within what the streams may have under way.
    let taken = AtomicUsize::new(0);
    let mut flood = pin!(async {
        for stream in 0..100 {
            for _ in 0..256 {
                theirs.write_all(&data(0, 2 * stream + 1, 1024)).await.unwrap();
                taken.fetch_add(1024, Ordering::Relaxed);
            }
        }
    });
    tokio::time::timeout(Duration::from_secs(1), &mut flood).await.expect_err("all of it was taken");
    let held = taken.load(Ordering::Relaxed);
    assert!(held > HELD_BYTES_MAX / 2 && held < HELD_BYTES_MAX, "{held} bytes are held");
    // Those that have nothing to read yet are read at once: the rest comes.
    let readers = streams.iter_mut().map(async |stream| stream.read_exact(&mut vec![0; 256 * 1024]).await);
    soon(async { tokio::join!(flood, futures::future::join_all(readers)) }).await;
    assert_eq!(taken.load(Ordering::Relaxed), 25 * MIB);
}

#[tokio::test]
async fn callers_that_read_nothing_are_ended_before_they_stop_those_that_read() {
    let (host, port) = host();
    let _guest = port.serve().await;
    let mut stuck = Vec::new();
    for _ in 0..80 {
        stuck.push(soon(host.open(SOURCE)).await);
    }
    soon(echo(&host, 1, 1_000_000)).await;
}

/// A guest that speaks the session until it is told to stop, and goes on when it is told to.
async fn serve_with_a_break(
    pipe: UnixStream,
    stop: tokio::sync::oneshot::Receiver<()>,
    go_on: tokio::sync::oneshot::Receiver<()>,
) {
    let mut serving = pin!(guest::serve(pipe));
    tokio::select! {
        () = &mut serving => return,
        _ = stop => {}
    }
    let _ = go_on.await;
    serving.await;
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_stands_still_for_an_hour_keeps_its_streams() {
    let (host, port) = host();
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let (go_on, goes_on) = tokio::sync::oneshot::channel();
    let _guest = Guest::run(serve_with_a_break(port.accept().await, stopped, goes_on));
    let (mut counted, _) = host.open(COUNT).await;
    counted.write_all(&vec![1; 100_000]).await.unwrap();
    stop.send(()).unwrap();
    // The whole time somebody asks whether it is there, and gives up soon.
    for _ in 0..1000 {
        let asked = tokio::time::timeout(Duration::from_secs(3), host.open(ECHO)).await;
        assert!(asked.is_err(), "a guest that stands still has answered");
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    go_on.send(()).unwrap();
    counted.write_all(&vec![1; 100_000]).await.unwrap();
    counted.shutdown().await.unwrap();
    let mut count = String::new();
    counted.read_to_string(&mut count).await.unwrap();
    assert_eq!(count, "200000");
}

/// An agent that began anew behind the back of the host: it scans for a handshake and knows nothing of a session.
async fn wait_for_syn(pipe: &mut UnixStream) {
    let mut scanner = LineScanner::default();
    loop {
        if let Some(Line::Syn(nonce)) = scanner.push(pipe.read_u8().await.unwrap()) {
            pipe.write_all(&Line::Ack(nonce).encode()).await.unwrap();
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_session_heals_while_callers_come_and_go() {
    let (host, port) = host();
    let mut pipe = port.accept().await;
    guest::grant(&mut pipe).await;
    let heals = async {
        wait_for_syn(&mut pipe).await;
        port.serve().await
    };
    let impatient = async {
        loop {
            let asked = tokio::time::timeout(Duration::from_secs(3), host.open(ECHO)).await;
            if let Ok((_, answer)) = asked {
                return answer;
            }
        }
    };
    let (_guest, answer) = tokio::join!(heals, impatient);
    assert_eq!(answer, "OK 1\n");
}
