//! Failures that the real program does not show on demand: a stand-in that speaks its API, slowly, wrongly or not at all.

use std::path::Path;
use std::time::{Duration, Instant};

use banger_conformance::trial;
use banger_vmm::firecracker::api::{Action, Api, ApiError, BootSource};
use libtest_mimic::Trial;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;

const DEADLINE: Duration = Duration::from_millis(300);

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial("stand_in::a_fault_message_is_told_with_its_request", fault_message),
        trial("stand_in::a_fault_that_is_no_json_is_told_as_it_is", odd_fault),
        trial("stand_in::a_server_error_is_a_refusal", server_error),
        trial("stand_in::a_slow_answer_costs_the_deadline_and_no_more", slow),
        trial("stand_in::half_an_answer_costs_the_deadline_and_no_more", half),
        trial("stand_in::a_socket_that_closes_is_told", closes),
        trial("stand_in::garbage_is_told", garbage),
        trial("stand_in::an_answer_of_another_shape_is_told", odd_answer),
        trial("stand_in::an_endless_answer_is_not_read", endless),
        trial("stand_in::nobody_on_the_socket_is_told", nobody),
        trial("stand_in::a_body_that_is_too_long_is_not_sent", too_long),
        trial("stand_in::a_version_is_read", version),
    ]
}

/// Answers each connection with these bytes once a request has come, then holds it open or closes it.
fn serve(socket: &Path, answer: Vec<u8>, closes: bool) -> tokio::task::JoinHandle<()> {
    let listener = UnixListener::bind(socket).unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(&answer).await;
            if !closes {
                held.push(stream);
            }
        }
    })
}

fn http(status: &str, body: &str) -> Vec<u8> {
    let text = format!(
        "HTTP/1.1 {status}\r\nServer: Firecracker API\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    text.into_bytes()
}

/// What the client makes of an answer to `InstanceStart`.
async fn put(answer: Vec<u8>, closes: bool) -> Result<(), ApiError> {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("api.sock");
    let server = serve(&socket, answer, closes);
    let result = Api::new(&socket, DEADLINE).put("/actions", &Action::InstanceStart).await;
    server.abort();
    result
}

async fn fault_message() {
    let answer = http("400 Bad Request", r#"{"fault_message":"no such kernel"}"#);
    let error = put(answer, false).await.unwrap_err();
    assert_eq!(error.to_string(), "Firecracker refuses `PUT /actions` (400 Bad Request): no such kernel");
}

async fn odd_fault() {
    let error = put(http("404 Not Found", "nothing here"), true).await.unwrap_err();
    assert!(matches!(error, ApiError::Refused { reason, .. } if reason == "nothing here"));
}

async fn server_error() {
    let error = put(http("500 Internal Server Error", "{}"), true).await.unwrap_err();
    assert!(matches!(error, ApiError::Refused { status, .. } if status == 500));
}

async fn is_silent(answer: &[u8]) {
    let begin = Instant::now();
    let error = put(answer.to_vec(), false).await.unwrap_err();
    assert!(matches!(error, ApiError::Silent { deadline, .. } if deadline == DEADLINE), "{error}");
    assert!(begin.elapsed() < 10 * DEADLINE);
}

async fn slow() {
    is_silent(b"").await;
}

async fn half() {
    is_silent(b"HTTP/1.1 204 No").await;
    is_silent(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 100\r\n\r\n{").await;
}

async fn closes() {
    for answer in [&b""[..], b"HTTP/1.1 204 No", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"] {
        let error = put(answer.to_vec(), true).await.unwrap_err();
        assert!(matches!(error, ApiError::Broken { .. }), "{error}");
    }
}

async fn garbage() {
    let error = put(b"\x00\xff\xfe hello\r\n\r\n".to_vec(), true).await.unwrap_err();
    assert!(matches!(error, ApiError::Broken { .. }), "{error}");
}

async fn odd_answer() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("api.sock");
    let server = serve(&socket, http("200 OK", r#"{"state":"Dancing","id":7}"#), true);
    let error = Api::new(&socket, DEADLINE).instance().await.unwrap_err();
    server.abort();
    assert!(matches!(error, ApiError::BadAnswer { .. }), "{error}");
}

async fn endless() {
    let body = "x".repeat(3 << 20);
    let error = put(http("400 Bad Request", &body), false).await.unwrap_err();
    assert!(matches!(error, ApiError::Broken { .. } | ApiError::Silent { .. }), "{error}");
}

async fn nobody() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("api.sock");
    let api = Api::new(&socket, DEADLINE);
    assert!(matches!(api.version().await, Err(ApiError::Connect(_))));
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(matches!(api.version().await, Err(ApiError::Connect(_))));
}

async fn too_long() {
    let api = Api::new("/no/such/socket", DEADLINE);
    let boot = BootSource {
        kernel_image_path: "/kernel".to_owned(),
        initrd_path: "/initramfs".to_owned(),
        boot_args: "x".repeat(60_000),
    };
    assert!(matches!(api.put("/boot-source", &boot).await, Err(ApiError::TooLong { .. })));
}

async fn version() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("api.sock");
    let server = serve(&socket, http("200 OK", r#"{"firecracker_version":"1.4.1"}"#), true);
    let version = Api::new(&socket, DEADLINE).version().await.unwrap();
    server.abort();
    assert!(version.is_too_old());
}
