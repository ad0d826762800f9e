use std::io::Read as _;

use super::*;
use crate::chunks::chunks;
use crate::source::UrlSource;
use crate::test_server::{Reply, Stop, TestServer};

const FILE: &[u8] = b"one two three four five";

async fn begin(server: &TestServer) -> Result<Download<UrlSource>, FetchError> {
    Download::begin(server.source(), "file", 1000).await
}

async fn read(server: &TestServer) -> Result<Vec<u8>, FetchError> {
    begin(server).await?.whole().await
}

#[tokio::test]
async fn a_broken_connection_is_continued_where_it_broke() {
    let server = TestServer::new(|asked| match asked.number {
        0 => Reply::of(200, FILE).with("ETag", "\"one\"").stops(5, Stop::Close),
        1 => Reply::of(503, b""),
        _ => Reply::part(FILE, asked.offset()),
    })
    .await;
    let download = begin(&server).await.unwrap();
    assert_eq!(download.size(), Some(FILE.len() as u64));
    assert_eq!(download.whole().await.unwrap(), FILE);
    assert_eq!(server.ranges(), ["", "bytes=5-", "bytes=5-"]);
    assert_eq!(server.asked()[2].if_range.as_deref(), Some("\"one\""));
}

#[tokio::test]
async fn a_server_that_ignores_ranges_is_read_once_more_up_to_there() {
    let server = TestServer::new(|asked| {
        let reply = Reply::of(200, FILE);
        if asked.number < 2 { reply.stops(5 + asked.number, Stop::Stall) } else { reply }
    })
    .await;
    assert_eq!(read(&server).await.unwrap(), FILE);
    assert_eq!(server.ranges(), ["", "bytes=5-", "bytes=6-"]);
}

#[tokio::test]
async fn a_file_that_changes_on_its_way_ends_it() {
    let server = TestServer::new(|asked| match asked.number {
        0 => Reply::of(200, FILE).with("ETag", "\"one\"").stops(5, Stop::Close),
        _ => Reply::of(200, FILE).with("ETag", "\"two\""),
    })
    .await;
    let error = read(&server).await.unwrap_err();
    assert_eq!(error.to_string(), "the file on the server changed during the download");
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn a_server_that_brings_nothing_new_is_given_up() {
    let server = TestServer::new(|_| Reply::of(200, FILE).stops(0, Stop::Close)).await;
    let error = read(&server).await.unwrap_err();
    assert_eq!(error.to_string(), "the connection to the server was lost");
    assert_eq!(server.asked().len(), 3);
    let silent = TestServer::new(|_| Reply::of(200, FILE).stops(0, Stop::Stall)).await;
    assert_eq!(read(&silent).await.unwrap_err().to_string(), "the server sent nothing for 0.3 s");
}

#[tokio::test]
async fn more_than_the_limit_ends_it() {
    let server = TestServer::new(|_| Reply::of(200, &[0; 1001])).await;
    let error = read(&server).await.unwrap_err();
    assert_eq!(error.to_string(), "the file from the server is larger than 1000 bytes");
}

#[tokio::test]
async fn a_status_that_is_not_a_success_is_told() {
    let server = TestServer::new(|_| Reply::of(404, b"")).await;
    assert_eq!(read(&server).await.unwrap_err().to_string(), "the server returned status 404 Not Found");
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn the_reader_on_another_thread_sees_the_bytes_and_the_error() {
    let server = TestServer::new(|asked| match asked.number {
        0 => Reply::of(200, FILE).stops(5, Stop::Close),
        _ => Reply::of(404, b""),
    })
    .await;
    let download = begin(&server).await.unwrap();
    let (sender, mut reader) = chunks();
    let reading = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        let error = reader.read_to_end(&mut bytes).unwrap_err();
        (bytes, error.to_string())
    });
    download.send_to(sender).await;
    let expected = (FILE[..5].to_vec(), "the server returned status 404 Not Found".to_owned());
    assert_eq!(reading.await.unwrap(), expected);
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_the_download() {
    let server = TestServer::new(|_| Reply::of(200, FILE).stops(5, Stop::Stall)).await;
    let (sender, reader) = chunks();
    drop(reader);
    begin(&server).await.unwrap().send_to(sender).await;
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_part_that_ends_before_the_file_is_not_its_end() {
    let server = TestServer::new(|asked| match asked.number {
        0 => Reply::of(200, FILE).stops(5, Stop::Close),
        1 => Reply::of(206, &FILE[5..9]).with("Content-Range", "bytes 5-8/23"),
        _ => Reply::part(FILE, asked.offset()),
    })
    .await;
    assert_eq!(read(&server).await.unwrap(), FILE);
    assert_eq!(server.ranges(), ["", "bytes=5-", "bytes=9-"]);
}
