//! The guest's console.

use std::io::Write as _;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::gate::PATIENCE;
use crate::sandbox::Sandbox;

async fn read_until(body: &mut Incoming, needle: &[u8]) -> Vec<u8> {
    let mut seen = Vec::new();
    let reading = async {
        while !seen.windows(needle.len()).any(|window| window == needle) {
            let frame = body.frame().await.expect("the log ends too early").unwrap();
            seen.extend_from_slice(&frame.into_data().unwrap());
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("the log says nothing");
    seen
}

#[tokio::test]
async fn a_followed_log_tells_what_comes_and_ends_with_the_machine() {
    let sandbox = Sandbox::start().await;
    let id = sandbox.create("dev").await.id;
    let path = sandbox.paths.vm(id.as_str()).join("console.log");
    let mut console = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    let mut log = sandbox.client.stream("/v1/vms/dev/logs?follow=true").await.unwrap();
    console.write_all(b"one\n").unwrap();
    read_until(&mut log, b"one\n").await;
    console.write_all(b"two\n").unwrap();
    read_until(&mut log, b"two\n").await;
    sandbox.act("dev", "kill").await.unwrap();
    let rest = tokio::time::timeout(PATIENCE, log.collect()).await.expect("the log goes on").unwrap();
    assert_eq!(rest.to_bytes(), "");
}

#[tokio::test]
async fn a_followed_log_goes_on_when_it_is_shortened() {
    let sandbox = Sandbox::start().await;
    let id = sandbox.create("dev").await.id;
    let path = sandbox.paths.vm(id.as_str()).join("console.log");
    let mut console = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    console.write_all(&[b'x'; 100]).unwrap();
    console.write_all(b"old\n").unwrap();
    let mut log = sandbox.client.stream("/v1/vms/dev/logs?follow=true").await.unwrap();
    read_until(&mut log, b"old\n").await;
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
    console.write_all(b"new\n").unwrap();
    assert_eq!(read_until(&mut log, b"new\n").await, b"new\n");
}

#[tokio::test]
async fn a_vm_that_never_ran_has_an_empty_log() {
    let sandbox = Sandbox::start().await;
    let body = serde_json::json!({ "name": "dev", "no_start": true });
    sandbox.finish(sandbox.begin("/v1/vms", body).await.unwrap()).await.unwrap();
    for path in ["/v1/vms/dev/logs", "/v1/vms/dev/logs?follow=true"] {
        let log = sandbox.client.stream(path).await.unwrap();
        assert_eq!(log.collect().await.unwrap().to_bytes(), "");
    }
}

#[tokio::test]
async fn what_a_vmm_and_its_network_said_is_told_with_who_said_it() {
    let sandbox = Sandbox::start().await;
    let vm = sandbox.create("dev").await;
    let directory = sandbox.paths.vm(vm.id.as_str());
    std::fs::write(directory.join("vmm.log"), "no such device\n").unwrap();
    std::fs::write(directory.join("network.log"), "a frame is too long").unwrap();
    let log = sandbox.client.stream("/v1/vms/dev/logs?vmm=true").await.unwrap();
    assert_eq!(
        log.collect().await.unwrap().to_bytes(),
        "network: a frame is too long\nqemu: no such device\n"
    );
}
