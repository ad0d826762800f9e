use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::*;
use crate::detour::Detour;
use crate::test_server::{Reply, Stop, TestServer};

const BYTES: usize = 3 << 20;

fn content() -> Vec<u8> {
    (0..BYTES).map(|place| u8::try_from(place * 7 % 251).unwrap()).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The file that [`content`] is.
fn wanted() -> Wanted {
    let size = Size::Exactly(BYTES as u64);
    Wanted { what: "file", size, sha256: Some(sha256(&content())), decode: None }
}

/// A file in a directory of a test, which remembers that it was discarded or let go.
struct Growing {
    file: File,
    path: PathBuf,
    let_go: Arc<Notify>,
    room: u64,
}

impl Growing {
    fn open(home: &Path) -> Self {
        let path = home.join("file");
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(false).open(&path).unwrap();
        Self { file, path, let_go: Arc::default(), room: u64::MAX }
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        self.let_go.notify_one();
    }
}

impl Target for Growing {
    fn file(&mut self) -> &mut File {
        &mut self.file
    }

    fn make_room(&mut self, bytes: u64) -> io::Result<()> {
        if bytes <= self.room { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }

    fn discard(self) {
        std::fs::remove_file(&self.path).unwrap();
    }
}

async fn download(server: &TestServer, home: &Path, wanted: &Wanted) -> Result<String, FetchError> {
    let filled = fill(&server.source(), Growing::open(home), wanted, &|_| {}).await;
    filled.map(|filled| filled.sha256)
}

fn found(home: &Path) -> Option<Vec<u8>> {
    std::fs::read(home.join("file")).ok()
}

#[tokio::test]
async fn a_broken_connection_is_continued_where_it_broke_and_nothing_is_told_twice() {
    let all = content();
    let server = TestServer::new(move |asked| match asked.number {
        0 => Reply::of(200, &all).stops(2 << 20, Stop::Close),
        _ => Reply::part(&all, asked.offset()),
    })
    .await;
    let home = tempfile::tempdir().unwrap();
    let told = Mutex::new(Vec::new());
    let tell = |bytes| told.lock().unwrap().push(bytes);
    let filled = fill(&server.source(), Growing::open(home.path()), &wanted(), &tell).await.unwrap();
    assert_eq!(filled.sha256, sha256(&content()));
    assert!(found(home.path()).unwrap() == content());
    assert_eq!(server.ranges(), ["", "bytes=2097152-"]);
    let told = told.into_inner().unwrap();
    assert!(told.is_sorted() && told.last() == Some(&(BYTES as u64)));
}

#[tokio::test]
async fn a_server_that_ignores_ranges_sends_it_all_again() {
    let all = content();
    let server = TestServer::new(move |asked| {
        let reply = Reply::of(200, &all);
        if asked.number == 0 { reply.stops(1 << 20, Stop::Stall) } else { reply }
    })
    .await;
    let home = tempfile::tempdir().unwrap();
    download(&server, home.path(), &wanted()).await.unwrap();
    assert!(found(home.path()).unwrap() == content());
    assert_eq!(server.ranges(), ["", "bytes=1048576-"]);
}

#[tokio::test]
async fn a_server_that_starts_somewhere_else_is_asked_again_from_the_start() {
    let all = content();
    let server = TestServer::new(move |asked| match asked.number {
        0 => Reply::of(200, &all).stops(1 << 20, Stop::Close),
        1 => Reply::part(&all, 5),
        _ => Reply::of(200, &all),
    })
    .await;
    let home = tempfile::tempdir().unwrap();
    download(&server, home.path(), &wanted()).await.unwrap();
    assert!(found(home.path()).unwrap() == content());
    assert_eq!(server.ranges(), ["", "bytes=1048576-", ""]);
}

#[tokio::test]
async fn what_is_shorter_than_it_should_be_is_asked_for_until_patience_ends() {
    let all = content();
    let server = TestServer::new(move |asked| match asked.offset() {
        0 => Reply::of(200, &all[..BYTES - 1]),
        _ => Reply::of(416, b""),
    })
    .await;
    let home = tempfile::tempdir().unwrap();
    let error = download(&server, home.path(), &wanted()).await.unwrap_err();
    assert_eq!(error.to_string(), "the server sent only 3145727 of the 3145728 bytes of the file");
}

#[tokio::test]
async fn wrong_bytes_get_one_more_chance_and_leave_nothing() {
    let mut wrong = content();
    wrong[BYTES - 1] ^= 1;
    let digest = sha256(&wrong);
    let server = TestServer::new(move |_| Reply::of(200, &wrong)).await;
    let home = tempfile::tempdir().unwrap();
    let error = download(&server, home.path(), &wanted()).await.unwrap_err();
    let expected = sha256(&content());
    let text = format!("the server sent a file with the digest sha256:{digest} instead of sha256:{expected}");
    assert_eq!(error.to_string(), text);
    assert_eq!((server.ranges(), found(home.path())), (vec![String::new(); 2], None));
}

#[tokio::test]
async fn wrong_bytes_of_an_earlier_download_are_replaced() {
    let all = content();
    let server = TestServer::new(move |asked| match asked.offset() {
        0 => Reply::of(200, &all),
        offset => Reply::part(&all, offset),
    })
    .await;
    let home = tempfile::tempdir().unwrap();
    for (left, ranges) in [(content()[..1000].to_vec(), 1), (vec![9; 1000], 2), (vec![0; BYTES + 1], 1)] {
        std::fs::write(home.path().join("file"), left).unwrap();
        let before = server.ranges().len();
        download(&server, home.path(), &wanted()).await.unwrap();
        assert!(found(home.path()).unwrap() == content());
        assert_eq!(server.ranges().len() - before, ranges);
    }
    download(&server, home.path(), &wanted()).await.unwrap();
    assert_eq!(server.ranges(), ["bytes=1000-", "bytes=1000-", "", ""], "a complete file needs no server");
}

#[tokio::test]
async fn more_than_the_limit_ends_at_the_limit() {
    let server = TestServer::new(|_| Reply::of(200, &content())).await;
    for size in [Size::Exactly(1 << 20), Size::AtMost(1 << 20)] {
        let home = tempfile::tempdir().unwrap();
        let wanted = Wanted { size, sha256: None, ..wanted() };
        let error = download(&server, home.path(), &wanted).await.unwrap_err();
        assert_eq!(error.to_string(), "the file from the server is larger than 1 MiB");
        assert_eq!(found(home.path()), None);
    }
    assert_eq!(server.asked().len(), 2, "a second try is in vain");
}

#[tokio::test]
async fn a_full_disk_ends_it_and_leaves_what_has_come() {
    const LEFT: usize = (64 << 20) - 1000;
    let large = vec![0; LEFT + 2000];
    let wanted = Wanted { size: Size::Exactly(large.len() as u64), sha256: Some(sha256(&large)), ..wanted() };
    let server = TestServer::new(move |asked| Reply::part(&large, asked.offset())).await;
    let home = tempfile::tempdir().unwrap();
    let mut target = Growing::open(home.path());
    target.file.set_len(LEFT as u64).unwrap();
    target.room = 0;
    let error = fill(&server.source(), target, &wanted, &|_| {}).await.map(drop).unwrap_err();
    assert_eq!(error.to_string(), "cannot write the file from the server");
    assert_eq!(found(home.path()).unwrap().len(), LEFT);
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn without_a_digest_only_a_tag_allows_to_continue() {
    for (tag, range) in [("\"one\"", "bytes=1048576-"), ("W/\"one\"", "")] {
        let all = content();
        let server = TestServer::new(move |asked| match (asked.number, asked.offset()) {
            (0, _) => Reply::of(200, &all).with("ETag", tag).stops(1 << 20, Stop::Close),
            (_, 0) => Reply::of(200, &all).with("ETag", tag),
            (_, offset) => Reply::part(&all, offset),
        })
        .await;
        let home = tempfile::tempdir().unwrap();
        // Nobody knows from where this is.
        std::fs::write(home.path().join("file"), "older").unwrap();
        let wanted = Wanted { size: Size::AtMost(1 << 30), sha256: None, ..wanted() };
        assert_eq!(download(&server, home.path(), &wanted).await.unwrap(), sha256(&content()), "{tag}");
        assert_eq!(server.ranges(), ["", range]);
        let if_range = server.asked()[1].if_range.clone();
        assert_eq!(if_range.as_deref(), (!range.is_empty()).then_some(tag));
    }
}

#[tokio::test]
async fn a_download_that_is_given_up_lets_its_target_go_and_is_continued_later() {
    let all = content();
    let server = TestServer::new(move |asked| match asked.number {
        0 => Reply::of(200, &all).stops(1 << 20, Stop::Stall),
        _ => Reply::part(&all, asked.offset()),
    })
    .await;
    let home = tempfile::tempdir().unwrap();
    let target = Growing::open(home.path());
    let (let_go, here) = (Arc::clone(&target.let_go), Notify::new());
    let tell = |bytes| {
        if bytes == 1 << 20 {
            here.notify_one();
        }
    };
    let (source, wanted) = (server.source(), wanted());
    tokio::select! {
        ended = fill(&source, target, &wanted, &tell) => panic!("{:?}", ended.map(|_| ())),
        () = here.notified() => {}
    }
    let_go.notified().await;
    assert!(found(home.path()).unwrap() == content()[..1 << 20], "what has come is there");
    download(&server, home.path(), &wanted).await.unwrap();
    assert!(found(home.path()).unwrap() == content());
    assert_eq!(server.ranges(), ["", "bytes=1048576-"]);
}

#[tokio::test]
async fn a_redirect_from_https_to_http_is_refused_and_not_asked_again() {
    let open = TestServer::new(|_| Reply::of(200, &content())).await;
    let location = open.url.to_string();
    let server = TestServer::tls(move |_| Reply::of(302, b"").with("Location", &location)).await;
    let home = tempfile::tempdir().unwrap();
    let error = download(&server, home.path(), &wanted()).await.unwrap_err();
    assert!(matches!(&error, FetchError::Led { source: Detour::Unencrypted { .. }, .. }), "{error:?}");
    assert_eq!(error.to_string(), "refused to follow a redirect from the server");
    assert_eq!((server.asked().len(), open.asked().len()), (1, 0));
}

#[tokio::test]
async fn https_is_spoken_to_the_end() {
    let server = TestServer::tls(|_| Reply::of(200, &content())).await;
    let home = tempfile::tempdir().unwrap();
    download(&server, home.path(), &wanted()).await.unwrap();
    assert!(found(home.path()).unwrap() == content());
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn decode(encoding: Encoding, packed: ChunkReader) -> Box<dyn Read> {
    assert_eq!(encoding, Encoding::Gzip);
    Box::new(flate2::read::GzDecoder::new(packed))
}

/// A server that calls what it has gzip.
async fn gzip_server(sent: Vec<u8>) -> TestServer {
    TestServer::new(move |asked| {
        let reply = match asked.offset() {
            0 => Reply::of(200, &sent),
            offset if offset < sent.len() => Reply::part(&sent, offset),
            _ => return Reply::of(416, b""),
        };
        let reply = reply.with("Content-Encoding", "gzip");
        if asked.number == 0 { reply.stops(1000, Stop::Close) } else { reply }
    })
    .await
}

#[tokio::test]
async fn a_compression_of_the_server_is_undone_and_never_continued_in_its_middle() {
    let server = gzip_server(gzip(&content())).await;
    let home = tempfile::tempdir().unwrap();
    let wanted = Wanted { decode: Some(decode), ..wanted() };
    download(&server, home.path(), &wanted).await.unwrap();
    assert!(found(home.path()).unwrap() == content());
    assert_eq!(server.ranges().last().unwrap(), "", "the last request is for the whole file");
}

#[tokio::test]
async fn a_file_that_is_stored_compressed_stays_so_whatever_the_server_calls_that() {
    let packed = gzip(&content());
    let server = gzip_server(packed.clone()).await;
    for decode in [Some(decode as Decode), None] {
        let home = tempfile::tempdir().unwrap();
        let size = Size::Exactly(packed.len() as u64);
        let wanted = Wanted { size, sha256: Some(sha256(&packed)), decode, ..wanted() };
        download(&server, home.path(), &wanted).await.unwrap();
        assert!(found(home.path()).unwrap() == packed);
    }
}

#[tokio::test]
async fn what_is_decoded_becomes_no_larger_than_the_limit() {
    let server = gzip_server(gzip(&vec![0; 1 << 20])).await;
    let home = tempfile::tempdir().unwrap();
    let wanted = Wanted { size: Size::Exactly(1000), decode: Some(decode), ..wanted() };
    let error = download(&server, home.path(), &wanted).await.unwrap_err();
    assert_eq!(error.to_string(), "the file from the server is larger than 1000 bytes");
    assert_eq!(found(home.path()), None);
}

#[tokio::test]
async fn what_is_decoded_without_an_end_ends_at_the_limit() {
    let server = TestServer::new(|_| Reply::of(200, b"x").with("Content-Encoding", "gzip")).await;
    let home = tempfile::tempdir().unwrap();
    let decode: Decode = |_, _| Box::new(io::repeat(0));
    let wanted = Wanted { size: Size::AtMost(1000), decode: Some(decode), ..wanted() };
    let error = download(&server, home.path(), &wanted).await.unwrap_err();
    assert!(
        matches!(error, FetchError::WrongDigest { .. }),
        "the undecoded byte is not it, either: {error:?}"
    );
}

#[tokio::test]
async fn a_part_of_a_compressed_response_is_not_appended() {
    let packed = gzip(&content());
    let server = TestServer::new(move |asked| {
        let reply = match asked.offset() {
            0 => Reply::of(200, &packed),
            offset => Reply::part(&packed, offset),
        };
        reply.with("Content-Encoding", "gzip")
    })
    .await;
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("file"), &content()[..1000]).unwrap();
    download(&server, home.path(), &Wanted { decode: Some(decode), ..wanted() }).await.unwrap();
    assert!(found(home.path()).unwrap() == content());
    assert_eq!(server.ranges(), ["bytes=1000-", ""]);
}
