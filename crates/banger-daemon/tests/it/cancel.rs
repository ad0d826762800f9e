//! A cancelled operation undoes what it made, to the end.

use banger_model::VmState;
use serde_json::json;

use crate::gate::Gate;
use crate::sandbox::Sandbox;

#[tokio::test]
async fn a_create_that_is_cancelled_in_any_phase_leaves_nothing() {
    let sandbox = Sandbox::start().await;
    let behaviour = sandbox.behaviour();
    let phases: [&Gate; 5] = [
        &sandbox.source.image,
        &sandbox.source.disks,
        &behaviour.launch,
        &behaviour.launched,
        &behaviour.connect,
    ];
    for (number, phase) in phases.into_iter().enumerate() {
        let before = phase.visitors();
        phase.close();
        let begun = sandbox.begin_create("dev").await;
        phase.reached(before + 1).await;
        sandbox.cancel(&begun).await;
        // Disks are made to their end: a thread cannot be stopped half-way.
        if number == 1 {
            phase.open();
        }
        let error = sandbox.ended_cancelled(begun).await;
        assert_eq!(error.message, "cancelled; nothing is left behind");
        sandbox.nothing_is_left().await;
        phase.open();
    }
}

#[tokio::test]
async fn a_start_that_is_cancelled_leaves_the_vm_stopped_and_not_failed() {
    let sandbox = Sandbox::start().await;
    let behaviour = sandbox.behaviour();
    let id = sandbox.create("dev").await.id;
    sandbox.act("dev", "stop").await.unwrap();
    for phase in [&sandbox.source.image, &behaviour.launch, &behaviour.launched, &behaviour.connect] {
        let before = phase.visitors();
        phase.close();
        let begun = sandbox.begin_act("dev", "start").await;
        phase.reached(before + 1).await;
        sandbox.cancel(&begun).await;
        let error = sandbox.ended_cancelled(begun).await;
        assert_eq!(error.message, "cancelled; VM `dev` is stopped");
        let vm = sandbox.vm("dev").await.unwrap();
        assert_eq!((vm.state, vm.pid, vm.last_error), (VmState::Stopped, None, None));
        assert!(!sandbox.paths.vm_sockets(id.as_str()).exists());
        sandbox.no_process_is_left().await;
        phase.open();
    }
    assert_eq!(sandbox.act("dev", "start").await.unwrap().unwrap().state, VmState::Running);
}

#[tokio::test]
async fn what_waits_for_its_turn_can_be_cancelled() {
    let sandbox = Sandbox::start().await;
    sandbox.create("dev").await;
    sandbox.act("dev", "kill").await.unwrap();
    sandbox.behaviour().connect.close();
    let before = sandbox.behaviour().connect.visitors();
    let starting = sandbox.begin_act("dev", "start").await;
    sandbox.behaviour().connect.reached(before + 1).await;
    for verb in ["start", "stop", "restart"] {
        let waiting = sandbox.begin_act("dev", verb).await;
        let waiting = sandbox.client.operation(&waiting.id, waiting.revision).await.unwrap();
        assert_eq!(waiting.stages[0].name, "wait for another command", "{verb}");
        sandbox.cancel(&waiting).await;
        sandbox.ended_cancelled(waiting).await;
    }
    sandbox.behaviour().connect.open();
    sandbox.finish(starting).await.unwrap();
}

#[tokio::test]
async fn a_second_cancel_during_the_undo_changes_nothing() {
    let sandbox = Sandbox::start().await;
    sandbox.source.disks.close();
    let begun = sandbox.begin_create("dev").await;
    sandbox.source.disks.reached(1).await;
    sandbox.cancel(&begun).await;
    sandbox.cancel(&begun).await;
    sandbox.source.disks.open();
    sandbox.ended_cancelled(begun.clone()).await;
    sandbox.cancel(&begun).await;
    sandbox.ended_cancelled(begun).await;
    sandbox.nothing_is_left().await;
}

#[tokio::test]
async fn a_cancel_of_what_is_done_changes_nothing() {
    let sandbox = Sandbox::start().await;
    let begun = sandbox.begin_create("dev").await;
    let ended = sandbox.finish(begun.clone()).await.unwrap();
    sandbox.cancel(&begun).await;
    let after = sandbox.client.operation(&begun.id, 0).await.unwrap();
    assert_eq!(after, ended);
    let _: Vec<serde_json::Value> = sandbox.client.get("/v1/operations").await.unwrap();
    assert_eq!(sandbox.vm("dev").await.unwrap().state, VmState::Running);
    assert!(sandbox.begin("/v1/operations/op-none/cancel", json!({})).await.is_err());
}
