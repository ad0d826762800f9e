//! Many at once: names, ids, and lists that nobody holds up.

use std::collections::HashSet;

use banger_api::ErrorCode;
use banger_model::{Hint, VmState};
use futures::future::join_all;
use serde_json::json;

use crate::sandbox::Sandbox;

#[tokio::test]
async fn a_taken_name_is_refused_at_once() {
    let sandbox = Sandbox::start().await;
    sandbox.create("dev").await;
    let error = sandbox.begin("/v1/vms", json!({ "name": "dev" })).await.unwrap_err();
    assert_eq!((error.code, error.op_id.is_some()), (ErrorCode::AlreadyExists, true));
    assert_eq!(error.message, "a VM named `dev` already exists");
    assert_eq!(error.hint, Some(Hint::ShowVm { vm: "dev".to_owned() }));
}

#[tokio::test]
async fn of_many_creates_of_one_name_one_wins_and_the_others_leave_nothing() {
    const COUNT: usize = 16;
    let sandbox = Sandbox::start().await;
    sandbox.source.image.close();
    let begun = join_all((0..COUNT).map(|_| sandbox.begin_create("dev"))).await;
    sandbox.source.image.reached(COUNT).await;
    sandbox.source.image.open();
    let ended = join_all(begun.into_iter().map(|operation| sandbox.finish(operation))).await;
    let (won, lost): (Vec<_>, Vec<_>) = ended.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, COUNT - 1));
    assert!(lost.into_iter().all(|error| error.unwrap_err().code == ErrorCode::AlreadyExists));
    let vms = sandbox.vms().await;
    assert_eq!((vms.len(), vms[0].state), (1, VmState::Running));
    assert_eq!(sandbox.directories().len(), 1);
    assert_eq!(sandbox.processes().len(), 1);
}

#[tokio::test]
async fn twenty_creates_at_once_do_not_meet_and_the_list_answers_meanwhile() {
    const COUNT: usize = 20;
    let sandbox = Sandbox::start().await;
    sandbox.behaviour().connect.close();
    let names: Vec<_> = (0..COUNT).map(|number| format!("vm-{number}")).collect();
    let begun = join_all(names.iter().map(|name| sandbox.begin_create(name))).await;
    sandbox.behaviour().connect.reached(COUNT).await;
    let meanwhile = sandbox.vms().await;
    assert_eq!(meanwhile.len(), COUNT);
    assert!(meanwhile.iter().all(|vm| vm.state == VmState::Starting));
    sandbox.behaviour().connect.open();
    for ended in join_all(begun.into_iter().map(|operation| sandbox.finish(operation))).await {
        ended.unwrap();
    }
    let vms = sandbox.vms().await;
    assert!(vms.iter().all(|vm| vm.state == VmState::Running));
    assert_eq!(vms.iter().map(|vm| &vm.id).collect::<HashSet<_>>().len(), COUNT);
    assert_eq!(vms.iter().filter_map(|vm| vm.pid).collect::<HashSet<_>>().len(), COUNT);
}

#[tokio::test]
async fn a_blocked_phase_of_one_vm_holds_up_nobody_else() {
    let sandbox = Sandbox::start().await;
    sandbox.create("other").await;
    sandbox.source.disks.close();
    let hanging = sandbox.begin_create("dev").await;
    sandbox.source.disks.reached(2).await;
    assert_eq!(sandbox.vms().await.len(), 2);
    assert_eq!(sandbox.act("other", "kill").await.unwrap().unwrap().state, VmState::Stopped);
    assert_eq!(sandbox.act("other", "start").await.unwrap().unwrap().state, VmState::Running);
    sandbox.source.disks.open();
    sandbox.finish(hanging).await.unwrap();
}

#[tokio::test]
async fn a_generated_name_that_was_taken_meanwhile_is_replaced() {
    let sandbox = Sandbox::start().await;
    sandbox.create("other").await;
    sandbox.source.image.close();
    let begun = sandbox.begin("/v1/vms", json!({})).await.unwrap();
    sandbox.source.image.reached(2).await;
    let store = sandbox.store();
    let mut faster = store.list_vms().unwrap()[0].clone();
    faster.id = "ffffffffffffffff".parse().unwrap();
    faster.name = begun.target.parse().unwrap();
    store.insert_vm(&faster, None).unwrap();
    sandbox.source.image.open();
    let ended = sandbox.finish(begun.clone()).await.unwrap();
    assert_ne!(ended.target, begun.target);
    assert_eq!(sandbox.vm(&ended.target).await.unwrap().state, VmState::Running);
    assert_eq!(sandbox.vms().await.len(), 3);
}
