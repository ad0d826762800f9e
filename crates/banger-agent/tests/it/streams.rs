//! The port of raw streams.

use banger_agent_proto::STREAM_PORT;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::guest::{open, ports, read_line};

#[tokio::test]
async fn bytes_flow_both_ways_and_each_end_is_passed_on() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut host = open(&ports(), STREAM_PORT).await;
    host.write_all(format!("tcp {address}\nhello").as_bytes()).await.unwrap();
    let (mut inside, _) = listener.accept().await.unwrap();
    assert_eq!(read_line(&mut host).await, "OK");
    host.shutdown().await.unwrap();
    let mut heard = String::new();
    inside.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "hello");
    // The other direction is still open.
    inside.write_all(b"answer").await.unwrap();
    drop(inside);
    let mut answer = String::new();
    host.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "answer");
}

#[tokio::test]
async fn a_refused_connection_is_told_in_one_line() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut host = open(&ports(), STREAM_PORT).await;
    host.write_all(format!("tcp {free}\n").as_bytes()).await.unwrap();
    let answer = read_line(&mut host).await;
    assert!(answer.starts_with(&format!("ERR cannot connect to {free}: ")), "{answer}");
    assert_eq!(host.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn an_unknown_line_is_refused() {
    let mut host = open(&ports(), STREAM_PORT).await;
    host.write_all(b"http://x\n").await.unwrap();
    assert!(read_line(&mut host).await.starts_with("ERR the first line must be "));
}
