//! What a VMM's choice warns of reaches whoever starts a VM, once for each operation, and whoever listens to the events.

use banger_api::{EventView, OperationView};
use banger_model::EventKind;
use http_body_util::BodyExt as _;
use serde_json::json;

use crate::sandbox::Sandbox;

const WARNING: &str = "Firecracker 1.99.0 is newer than 1.16.1";

async fn warnings_in_events(sandbox: &Sandbox) -> Vec<EventView> {
    let body = sandbox.client.stream("/v1/events?after=0").await.unwrap();
    let bytes = body.collect().await.unwrap().to_bytes();
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let events = lines.map(|line| serde_json::from_slice::<EventView>(line).unwrap());
    events.filter(|event| event.kind == EventKind::VmWarning).collect()
}

async fn finish(sandbox: &Sandbox, verb: &str) -> OperationView {
    sandbox.finish(sandbox.begin_act("dev", verb).await).await.unwrap()
}

#[tokio::test]
async fn every_start_is_warned_of_once_and_what_starts_nothing_is_not() {
    let sandbox = Sandbox::start().await;
    *sandbox.behaviour().warnings.lock().unwrap() = vec![WARNING.to_owned()];
    let created = sandbox.finish(sandbox.begin_create("dev").await).await.unwrap();
    assert_eq!(created.warnings, [WARNING]);
    let stopped = finish(&sandbox, "stop").await;
    assert_eq!(stopped.warnings, [""; 0]);
    let started = finish(&sandbox, "start").await;
    assert_eq!(started.warnings, [WARNING]);
    let restarted = finish(&sandbox, "restart").await;
    assert_eq!(restarted.warnings, [WARNING]);
    let told = warnings_in_events(&sandbox).await;
    let operations: Vec<_> = told.iter().filter_map(|event| event.op_id.clone()).collect();
    assert_eq!(operations, [created.id, started.id, restarted.id]);
    assert!(
        told.iter().all(|event| event.name == "dev" && event.message.as_deref() == Some(WARNING)),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_vm_that_is_only_made_has_its_warning_and_no_event() {
    let sandbox = Sandbox::start().await;
    *sandbox.behaviour().warnings.lock().unwrap() = vec![WARNING.to_owned()];
    let begun = sandbox.begin("/v1/vms", json!({ "name": "dev", "no_start": true })).await.unwrap();
    assert_eq!(sandbox.finish(begun).await.unwrap().warnings, [WARNING]);
    assert_eq!(warnings_in_events(&sandbox).await, []);
}

const BEYOND_HOST: &str =
    "the VM has 8G of memory, but this host has 4G: it may be killed once it uses what it has";

#[tokio::test]
async fn memory_beyond_the_hosts_is_warned_of_and_given() {
    let sandbox = Sandbox::start().await;
    let begun = sandbox.begin("/v1/vms", json!({ "name": "dev", "memory_mib": 8192 })).await.unwrap();
    assert_eq!(sandbox.finish(begun).await.unwrap().warnings, [BEYOND_HOST]);
    assert_eq!(sandbox.vm("dev").await.unwrap().memory_mib.get(), 8192);
    assert_eq!(finish(&sandbox, "restart").await.warnings, [BEYOND_HOST]);
    let set = async |change| {
        let begun = sandbox.begin("/v1/vms/dev/set", change).await.unwrap();
        sandbox.finish(begun).await.unwrap().warnings
    };
    assert_eq!(set(json!({ "memory_mib": 4096 })).await, [""; 0]);
    assert_eq!(set(json!({ "memory_mib": 8192 })).await, [BEYOND_HOST]);
    assert_eq!(set(json!({ "vcpus": 1 })).await, [""; 0], "nothing was asked about memory");
}
