//! Streams to the guest.

use banger_vmm::{ConnectError, handle};
use futures::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::guest::CHANNEL_DEADLINE;
use crate::suite::Subject;

/// Number of streams that are open at once.
const STREAMS: usize = 64;

/// Not a multiple of any size into which a channel splits bytes.
const BYTES: usize = 1_000_003;

/// Bytes in which every position can be distinguished from every other, in a different way for each stream.
fn pattern(stream: usize, bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ (stream as u64 + 1).wrapping_mul(0xd134_2543_de82_ef95);
    (0..bytes)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

/// Sends bytes and reads them back at the same time.
async fn exchange(stream: UnixStream, bytes: &[u8]) {
    let (mut input, mut output) = stream.into_split();
    let send = async { output.write_all(bytes).await.unwrap() };
    let receive = async {
        let mut received = vec![0; bytes.len()];
        input.read_exact(&mut received).await.unwrap();
        received
    };
    let ((), received) = tokio::time::timeout(CHANNEL_DEADLINE, async { tokio::join!(send, receive) })
        .await
        .expect("the guest sends back what comes");
    let first_wrong = received.iter().zip(bytes).position(|(received, sent)| received != sent);
    assert_eq!(first_wrong, None);
}

pub(crate) async fn integrity(subject: Subject) {
    let rig = subject.rig();
    let machine = subject.vmm.start(&rig.plan).await.unwrap();
    // The first exchange connects at once and waits for the guest.
    exchange(subject.guest.echo(machine.as_ref()).await, &pattern(0, BYTES)).await;
    exchange(subject.guest.echo(machine.as_ref()).await, &pattern(1, 1)).await;
    machine.kill().await.unwrap();
}

pub(crate) async fn many_streams(subject: Subject) {
    let rig = subject.rig();
    let machine = subject.vmm.start(&rig.plan).await.unwrap();
    let streams = join_all((0..STREAMS).map(|_| subject.guest.echo(machine.as_ref()))).await;
    let patterns: Vec<_> = (0..STREAMS).map(|stream| pattern(stream, 20_000 + stream)).collect();
    join_all(streams.into_iter().zip(&patterns).map(|(stream, sent)| exchange(stream, sent))).await;
    machine.kill().await.unwrap();
}

pub(crate) async fn refused_port(subject: Subject) {
    let rig = subject.rig();
    let machine = subject.vmm.start(&rig.plan).await.unwrap();
    exchange(subject.guest.echo(machine.as_ref()).await, b"it is there").await;
    let refused = machine.connect(9, CHANNEL_DEADLINE).await;
    assert!(matches!(refused, Err(ConnectError::Refused { port: 9 })), "{refused:?}");
    machine.kill().await.unwrap();
}

pub(crate) async fn adoption(subject: Subject) {
    let rig = subject.rig();
    let first = subject.vmm.start(&rig.plan).await.unwrap();
    exchange(subject.guest.echo(first.as_ref()).await, b"for the first").await;
    drop(first);
    let found = handle::load(&rig.plan.state_directory).unwrap().unwrap();
    let second = subject.vmm.adopt(&found).await.unwrap().expect("it runs");
    exchange(subject.guest.echo(second.as_ref()).await, &pattern(2, 100_000)).await;
    second.kill().await.unwrap();
}

pub(crate) async fn after_a_pause(subject: Subject) {
    let rig = subject.rig();
    let machine = subject.vmm.start(&rig.plan).await.unwrap();
    exchange(subject.guest.echo(machine.as_ref()).await, b"before").await;
    for _ in 0..2 {
        machine.pause().await.unwrap();
        machine.resume().await.unwrap();
        exchange(subject.guest.echo(machine.as_ref()).await, &pattern(3, 100_000)).await;
    }
    // Resuming a running machine breaks nothing.
    machine.resume().await.unwrap();
    exchange(subject.guest.echo(machine.as_ref()).await, b"after").await;
    machine.kill().await.unwrap();
}
