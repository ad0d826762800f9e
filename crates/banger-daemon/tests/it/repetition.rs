//! Requests that come twice.

use std::sync::atomic::Ordering;

use banger_api::{ErrorCode, OperationState, VmView};
use serde_json::json;

use crate::sandbox::Sandbox;

#[tokio::test]
async fn the_same_request_with_the_same_key_is_one_operation() {
    let sandbox = Sandbox::start().await;
    sandbox.source.disks.close();
    let request = || json!({ "idempotency_key": "k-1", "memory_mib": 512 });
    let calls = (0..8).map(|_| sandbox.begin("/v1/vms", request()));
    let begun = futures::future::try_join_all(calls).await.unwrap();
    assert!(begun.iter().all(|operation| operation.id == begun[0].id), "{begun:?}");
    sandbox.source.disks.open();
    let ended = sandbox.finish(begun[0].clone()).await.unwrap();
    assert_eq!(sandbox.vms().await.len(), 1);
    assert_eq!(sandbox.begin("/v1/vms", request()).await.unwrap(), ended);
}

#[tokio::test]
async fn a_key_is_remembered_by_the_vm_when_the_daemon_is_another() {
    let mut sandbox = Sandbox::start().await;
    let request = || json!({ "idempotency_key": "k-1" });
    let ended = sandbox.finish(sandbox.begin("/v1/vms", request()).await.unwrap()).await.unwrap();
    sandbox.crash_daemon();
    sandbox.start_daemon().await;
    let again = sandbox.begin("/v1/vms", request()).await.unwrap();
    assert_eq!((&again.id, again.state), (&ended.id, OperationState::Succeeded));
    let vm: VmView = serde_json::from_value(again.result.unwrap()).unwrap();
    assert_eq!(sandbox.vms().await, std::slice::from_ref(&vm));
    // With the VM its key is free.
    sandbox.act(vm.name.as_str(), "delete").await.unwrap();
    let new = sandbox.finish(sandbox.begin("/v1/vms", request()).await.unwrap()).await.unwrap();
    assert_ne!(new.id, ended.id);
}

#[tokio::test]
async fn a_key_for_another_request_is_refused() {
    let mut sandbox = Sandbox::start().await;
    let request = |memory| json!({ "idempotency_key": "k-1", "memory_mib": memory });
    sandbox.finish(sandbox.begin("/v1/vms", request(512)).await.unwrap()).await.unwrap();
    for _ in 0..2 {
        let error = sandbox.begin("/v1/vms", request(600)).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::BadRequest);
        assert_eq!(error.message, "the idempotency key `k-1` was used for another request");
        sandbox.crash_daemon();
        sandbox.start_daemon().await;
    }
    assert_eq!(sandbox.vms().await.len(), 1);
}

#[tokio::test]
async fn a_failed_request_is_answered_with_its_failure() {
    let sandbox = Sandbox::start().await;
    sandbox.source.fails_at_image.store(true, Ordering::SeqCst);
    let request = || json!({ "idempotency_key": "k-1" });
    let first = sandbox.finish(sandbox.begin("/v1/vms", request()).await.unwrap()).await.unwrap_err();
    let again = sandbox.begin("/v1/vms", request()).await.unwrap();
    assert_eq!((again.state, again.error), (OperationState::Failed, Some(first)));
}
