//! What makes no sense is refused in one sentence, and nothing is made.

use banger_api::{ErrorBody, ErrorCode};
use banger_model::{ArtifactKind, Hint};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::sandbox::{Sandbox, refused};
use std::sync::atomic::Ordering;

/// Sends a request as it stands and returns the body of its answer.
async fn raw(sandbox: &Sandbox, request: &str) -> ErrorBody {
    let mut stream = tokio::net::UnixStream::connect(sandbox.paths.daemon_socket()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // What the daemon leaves unread when it closes is a reset, which comes behind its answer.
    match stream.read_to_end(&mut answer).await {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => panic!("{error}"),
        Ok(_) | Err(_) => {}
    }
    let answer = String::from_utf8(answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap_or_else(|_| panic!("not an error of ours: {answer}"))
}

async fn post(sandbox: &Sandbox, path: &str, body: &str) -> ErrorBody {
    let length = body.len();
    let head =
        format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    raw(sandbox, &(head + body)).await
}

fn is_one_sentence(error: &ErrorBody) {
    assert!(!error.message.contains('\n') && !error.message.ends_with('.'), "{}", error.message);
}

#[tokio::test]
async fn a_request_that_cannot_be_understood_makes_nothing() {
    let sandbox = Sandbox::start().await;
    let cases: [(&str, &str); 19] = [
        ("{\"name\":", "EOF while parsing"),
        ("{} x", "trailing characters at line 1 column 4"),
        ("{\"name\":\"a\",\"name\":\"b\"}", "duplicate field `name`"),
        (
            "{\"image_source\":{\"source\":\"a\",\"docker_config\":\"b\"}}",
            "`image_source.docker_config`: `b` is not an absolute path",
        ),
        ("{\"vmm\":\"xen\"}", "`vmm`: unknown variant `xen`, expected one of `auto`, `qemu`, `firecracker`"),
        ("null", "not a JSON object"),
        ("[1]", "not a JSON object"),
        ("", "not a JSON object"),
        ("{\"nmae\":\"dev\"}", "unknown field `nmae`"),
        ("{\"name\":\"Dev\"}", "Dev"),
        ("{\"name\":\"-dev\"}", "-dev"),
        ("{\"name\":\"\"}", "empty"),
        ("{\"vcpus\":0}", "0"),
        ("{\"vcpus\":-1}", "-1"),
        ("{\"vcpus\":100000}", "100000"),
        ("{\"memory_mib\":0}", "0"),
        ("{\"memory_mib\":-5}", "-5"),
        ("{\"disk_bytes\":0}", "0"),
        ("{\"disk_bytes\":-1}", "-1"),
    ];
    for (body, told) in cases {
        let error = post(&sandbox, "/v1/vms", body).await;
        assert_eq!(error.code, ErrorCode::BadRequest, "{body}");
        assert!(error.message.contains(told), "{body}: {}", error.message);
        is_one_sentence(&error);
    }
    sandbox.nothing_is_left().await;
    assert_eq!(sandbox.source.image.visitors(), 0);
}

#[tokio::test]
async fn an_unknown_route_method_or_path_is_told_as_an_error_of_ours() {
    let sandbox = Sandbox::start().await;
    let error = post(&sandbox, "/v1/vm", "{}").await;
    assert_eq!((error.code, error.message.as_str()), (ErrorCode::UnknownPath, "there is no route `/v1/vm`"));
    assert_eq!(error.hint, Some(Hint::advice("the document `/v1/openapi.json` has all routes")));
    let mut stream = tokio::net::UnixStream::connect(sandbox.paths.daemon_socket()).await.unwrap();
    let request = b"DELETE /v1/vms HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    assert!(answer.to_lowercase().contains("\r\nallow: get,head,post\r\n"), "{answer}");
    assert!(answer.contains("the route `/v1/vms` has no method `DELETE`"), "{answer}");
    assert!(answer.contains("\"code\":\"unknown_method\""), "{answer}");
    let service: banger_api::ServiceInfo = sandbox.client.get("/").await.unwrap();
    assert_eq!((service.name.as_str(), service.document.as_str()), ("bangerd", "/v1/openapi.json"));
    let error = post(&sandbox, "/v1/vms/%ff/start", "{}").await;
    assert_eq!(error.code, ErrorCode::BadRequest);
}

#[tokio::test]
async fn a_query_has_the_parameters_of_its_route_and_no_others() {
    let sandbox = Sandbox::start().await;
    let cases = [
        (
            "GET /v1/vms/dev/logs?folow=true",
            "unknown query parameter `folow`; this route has `follow`, `vmm`, `command`",
        ),
        ("GET /v1/info?x", "unknown query parameter `x`; this route has none"),
        ("GET /v1/openapi.json?x=1", "unknown query parameter `x`; this route has none"),
        ("POST /v1/vms?name=dev", "unknown query parameter `name`; this route has none"),
        ("POST /v1/shutdown?force=", "the query parameter `force` must be `true` or `false`, not ``"),
        ("GET /v1/vms?pretty=true&pretty=false", "the query parameter `pretty` is given twice"),
        ("GET /v1/vms/dev/ending", "the query parameter `boot_id` is missing"),
        (
            "GET /v1/events?after=9999999999999999999",
            "the query parameter `after` must be a whole number from 0 to 9007199254740991, not `9999999999999999999`",
        ),
        (
            "GET /v1/operations/op-1?after=%2B1",
            "the query parameter `after` must be a whole number from 0 to 9007199254740991, not `+1`",
        ),
    ];
    for (request, told) in cases {
        let error =
            raw(&sandbox, &format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await;
        assert_eq!(
            (error.code, error.message.as_str()),
            (ErrorCode::BadRequest, format!("invalid request: {told}").as_str())
        );
    }
    sandbox.client.get::<Value>("/v1/info").await.unwrap();
}

#[tokio::test]
async fn a_body_is_json_of_bounded_length_where_there_is_one() {
    let sandbox = Sandbox::start().await;
    let long = post(&sandbox, "/v1/vms", &" ".repeat(70_000)).await;
    assert_eq!(
        (long.code, long.message.as_str()),
        (ErrorCode::RequestTooLarge, "the body must not be longer than 64 KiB")
    );
    let head = "POST /v1/vms HTTP/1.1\r\nhost: x\r\nconnection: close\r\n";
    // Before it is sent.
    let long = raw(&sandbox, &format!("{head}expect: 100-continue\r\ncontent-length: 70000\r\n\r\n")).await;
    assert_eq!(long.code, ErrorCode::RequestTooLarge);
    let broken = raw(&sandbox, &format!("{head}transfer-encoding: chunked\r\n\r\nx\r\n")).await;
    assert_eq!(broken.message, "invalid request: its body broke off or is not valid HTTP");
    let head = "POST /v1/vms HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\ncontent-type: ";
    for media in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx"] {
        let error = raw(&sandbox, &format!("{head}{media}\r\n\r\n{{}}")).await;
        assert_eq!(error.code, ErrorCode::UnsupportedMediaType);
        assert_eq!(error.message, format!("the body must be `application/json`, not `{media}`"));
    }
    sandbox.nothing_is_left().await;
    for body in ["{\"a\": 1}", "[]", "\"\"", "null null", &"x".repeat(10_000)] {
        let error = post(&sandbox, "/v1/vms/dev/touch", body).await;
        assert_eq!(error.message, "invalid request: this route takes no body");
    }
    // What clients send in place of nothing.
    for body in ["", "null", "{}", " {} "] {
        let error = post(&sandbox, "/v1/vms/dev/touch", body).await;
        assert_eq!(error.message, "there is no VM `dev`", "{body}");
    }
}

#[tokio::test]
async fn an_unknown_image_kernel_or_vmm_makes_nothing() {
    let sandbox = Sandbox::start().await;
    let create = |body: Value| async {
        match sandbox.begin("/v1/vms", body).await {
            Ok(begun) => sandbox.finish(begun).await.unwrap_err(),
            Err(error) => error,
        }
    };
    let error = create(json!({ "image": "nixos" })).await;
    assert_eq!(error.message, "the image `nixos` is neither local nor in the catalog");
    assert_eq!(error.code, ErrorCode::NotFound);
    assert_eq!(error.hint, Some(Hint::ListKnown { kind: ArtifactKind::Image }));
    assert!(error.op_id.is_some());
    let error = create(json!({ "kernel": "hurd" })).await;
    assert_eq!(error.message, "the kernel `hurd` is neither local nor in the catalog");
    assert_eq!(error.hint, Some(Hint::ListKnown { kind: ArtifactKind::Kernel }));
    sandbox.nothing_is_left().await;
}

#[tokio::test]
async fn a_host_without_vmm_is_told_before_anything_is_made() {
    let sandbox = Sandbox::start().await;
    sandbox.behaviour().is_missing.store(true, Ordering::SeqCst);
    let error = sandbox.begin("/v1/vms", json!({})).await.unwrap_err();
    assert_eq!(
        error.message,
        "no VMM can run a VM on this host: the program `qemu-system-x86_64` is not installed"
    );
    assert_eq!(error.hint, Some(Hint::install("qemu-system-x86")));
    assert_eq!(sandbox.source.image.visitors(), 0);
    sandbox.nothing_is_left().await;
}

#[tokio::test]
async fn who_is_not_there_is_not_found_by_any_command() {
    let sandbox = Sandbox::start().await;
    for verb in ["start", "stop", "restart", "kill", "delete"] {
        let error = sandbox.begin(&format!("/v1/vms/nobody/{verb}"), json!({})).await.unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (ErrorCode::NotFound, "there is no VM `nobody`"));
        assert_eq!(error.hint, Some(Hint::ListVms));
    }
    for path in ["", "/logs", "/ssh"] {
        let error = sandbox.client.get::<Value>(&format!("/v1/vms/nobody{path}")).await.unwrap_err();
        assert_eq!(refused(error).code, ErrorCode::NotFound);
    }
}
