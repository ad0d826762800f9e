//! `setup firecracker`: nothing is installed that has another digest, wherever it comes from. No daemon is needed.

use std::path::Path;

use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::program::{Told, banger, run, send, told};

async fn setup(home: &Path, arguments: &[&str]) -> Told {
    run(banger(home, &[&["setup", "firecracker"], arguments].concat())).await
}

fn nothing_is_installed(home: &Path) {
    let names: Vec<_> = std::fs::read_dir(home.join("state/firecracker"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names, [".lock"]);
}

#[tokio::test]
async fn a_file_with_another_digest_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("firecracker.tgz");
    std::fs::write(&file, "not a release").unwrap();
    let told = setup(home.path(), &["--from", file.to_str().unwrap()]).await;
    assert_eq!((told.status, told.stdout.as_str()), (Some(1), ""));
    assert!(
        told.stderr.contains("is not Firecracker 1.16.1, or it is incomplete: its SHA-256 is "),
        "{told:?}"
    );
    assert!(told.stderr.contains("hint: the archive is published at https://"), "{told:?}");
    nothing_is_installed(home.path());
    let told = setup(home.path(), &["--from", "/no/such/file"]).await;
    assert!(told.stderr.contains("cannot read `/no/such/file`"), "{told:?}");
}

#[tokio::test]
async fn an_archive_from_the_network_with_another_digest_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/firecracker.tgz", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        // The last one promises more than it gives, as often as it is asked.
        let half = ("200 OK", 4000);
        for (answer, length) in [("200 OK", 4), ("404 Not Found", 4), half, half, half] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
            let text =
                format!("HTTP/1.1 {answer}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\nevil");
            stream.write_all(text.as_bytes()).await.unwrap();
        }
    });
    let refused = setup(home.path(), &["--url", &url]).await;
    assert_eq!(refused.status, Some(1));
    assert!(refused.stderr.contains("its SHA-256 is "), "{refused:?}");
    let missing = setup(home.path(), &["--url", &url]).await;
    assert!(missing.stderr.contains("returned status 404"), "{missing:?}");
    let half = setup(home.path(), &["--url", &url]).await;
    assert!(half.stderr.contains("the connection to `127.0.0.1` was lost"), "{half:?}");
    nothing_is_installed(home.path());
    server.await.unwrap();
    // Nobody listens there any more.
    let unreachable = setup(home.path(), &["--url", &url]).await;
    let hint = "banger setup firecracker --from firecracker.tgz";
    assert!(unreachable.stderr.contains(hint), "{unreachable:?}");
    assert!(
        unreachable.stderr.contains("cannot reach `127.0.0.1`: it refuses the connection\n"),
        "{unreachable:?}"
    );
}

#[tokio::test]
async fn an_address_that_leads_to_this_host_is_not_followed() {
    let home = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/firecracker.tgz", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await;
        let text = "HTTP/1.1 302 Found\r\nLocation: http://localhost:9/admin\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(text.as_bytes()).await.unwrap();
    });
    let refused = setup(home.path(), &["--url", &url]).await;
    assert_eq!(refused.status, Some(1));
    let told = format!(
        "cannot download `{url}`: refused to follow a redirect from `127.0.0.1`: it leads to `localhost:9`, which is on this host"
    );
    assert!(refused.stderr.contains(&told), "{refused:?}");
    nothing_is_installed(home.path());
    server.await.unwrap();
}

#[tokio::test]
async fn whoever_is_stopped_or_dies_in_a_download_leaves_nothing_to_the_next() {
    let home = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/firecracker.tgz", listener.local_addr().unwrap());
    for signal in [Signal::INT, Signal::KILL] {
        let child = banger(home.path(), &["setup", "firecracker", "--url", &url]).spawn().unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\nhalf").await.unwrap();
        send(&child, signal);
        let told = told(child).await;
        match signal {
            Signal::INT => {
                assert_eq!(told.status, Some(130));
                assert!(told.stderr.contains("cancelled; nothing is left behind"), "{told:?}");
                nothing_is_installed(home.path());
            }
            _ => assert_eq!(told.status, None),
        }
    }
    setup(home.path(), &["--from", "/no/such/file"]).await;
    nothing_is_installed(home.path());
}

#[tokio::test]
async fn a_release_that_is_not_in_the_catalog_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let told = setup(home.path(), &["--release", "0.1.0"]).await;
    assert_eq!(told.status, Some(1));
    assert!(told.stderr.contains("not in the catalog; it has 1.16.1"), "{told:?}");
    assert!(!home.path().join("state").exists());
}
