//! The OpenAPI document against the daemon: it is valid by its own specification, and what the daemon answers to requests made
//! from it, good and bad, is what it says.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use tokio::net::{TcpListener, UnixStream};
use tokio::process::Command;

use crate::sandbox::Sandbox;

/// Examples for each operation and phase.
const EXAMPLES: &str = "20";
const SEED: &str = "1";
/// Between two tries to reach the daemon.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// A program of the tests' Python environment, as `make python-tools` makes it.
fn python_tool(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/python/bin").join(name);
    assert!(path.is_file(), "run make python-tools first");
    path
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Serves a daemon's socket on a port of loopback, for clients that speak TCP only.
async fn bridge(socket: PathBuf) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            // Tests beside this one may have all descriptors for a moment.
            let Ok((mut outside, _)) = listener.accept().await else {
                tokio::time::sleep(RETRY_PAUSE).await;
                continue;
            };
            let socket = socket.clone();
            tokio::spawn(async move {
                let mut inside = loop {
                    match UnixStream::connect(&socket).await {
                        Ok(inside) => break inside,
                        Err(_) => tokio::time::sleep(RETRY_PAUSE).await,
                    }
                };
                let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
            });
        }
    });
    port
}

#[tokio::test]
async fn the_document_is_valid() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("openapi.json");
    std::fs::write(&file, banger_daemon::http::api_document().to_json().unwrap()).unwrap();
    let output = Command::new(python_tool("openapi-spec-validator")).arg(&file).output().await.unwrap();
    assert!(output.status.success(), "{}", told(&output));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_daemon_answers_is_in_the_document() {
    let sandbox = Sandbox::start().await;
    sandbox.create("dev").await;
    let port = bridge(sandbox.paths.daemon_socket()).await;
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(python_tool("schemathesis"))
        .current_dir(directory.path())
        .arg("--config-file")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemathesis.toml"))
        .args(["run", &format!("http://127.0.0.1:{port}/v1/openapi.json"), "--seed", SEED])
        .args(["--max-examples", EXAMPLES, "--no-color"])
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{}", told(&output));
}
