//! Operations as clients follow them, and the end of the daemon.

use std::time::{Duration, Instant};

use banger_api::{ErrorCode, OperationState, OperationView};
use banger_model::{Hint, VmState};
use serde_json::json;

use crate::gate::PATIENCE;
use crate::sandbox::{Sandbox, refused};

#[tokio::test]
async fn a_long_poll_answers_when_something_changes_and_no_stage_is_lost() {
    let sandbox = Sandbox::start().await;
    sandbox.source.image.close();
    let begun = sandbox.begin_create("dev").await;
    sandbox.source.image.reached(1).await;
    let now = sandbox.client.operation(&begun.id, 0).await.unwrap();
    let poll = tokio::spawn({
        let (client, id) = (sandbox.client.clone(), begun.id.clone());
        async move { client.operation(&id, now.revision).await.unwrap() }
    });
    sandbox.source.image.open();
    let mut last = tokio::time::timeout(PATIENCE, poll).await.unwrap().unwrap();
    assert!(last.revision > now.revision);
    while !last.state.is_final() {
        let next = sandbox.client.operation(&last.id, last.revision).await.unwrap();
        assert!(next.revision > last.revision);
        last = next;
    }
    assert_eq!(last.stages.len(), 4);
    let listed: Vec<OperationView> = sandbox.client.get("/v1/operations").await.unwrap();
    assert_eq!(listed, [last]);
}

#[tokio::test]
async fn an_operation_that_is_not_known_is_not_found() {
    let sandbox = Sandbox::start().await;
    let error = refused(sandbox.client.operation("op-none", 0).await.unwrap_err());
    assert_eq!(
        (error.code, error.message.as_str()),
        (ErrorCode::NotFound, "there is no operation `op-none`")
    );
    let error = sandbox.begin("/v1/operations/op-none/cancel", json!({})).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::NotFound);
}

#[tokio::test]
async fn a_shutdown_is_refused_while_work_is_in_progress_and_force_undoes_it() {
    let mut sandbox = Sandbox::start().await;
    sandbox.create("other").await;
    sandbox.behaviour().connect.close();
    let begun = sandbox.begin_create("dev").await;
    sandbox.behaviour().connect.reached(2).await;
    let error = refused(sandbox.client.post::<()>("/v1/shutdown", &json!({})).await.unwrap_err());
    assert_eq!(error.message, "the daemon is at work: 1 operation");
    assert_eq!(error.hint, Some(Hint::StopDaemon));
    // Who follows the operation sees how it ends, although the daemon ends, too.
    let following = tokio::spawn({
        let client = sandbox.client.clone();
        async move { client.follow(begun, |_| {}).await }
    });
    sandbox.client.post::<()>("/v1/shutdown?force=true", &json!({})).await.unwrap();
    sandbox.daemon_ended().await;
    let told = refused(following.await.unwrap().unwrap_err());
    assert_eq!(told.code, ErrorCode::Cancelled);
    assert_eq!(told.message, "the daemon was stopped; nothing is left behind");
    assert_eq!(told.hint, Some(Hint::advice("run the command again; it starts a new daemon")));
    sandbox.behaviour().connect.open();
    assert_eq!(sandbox.processes().len(), 1, "machines that run go on");
    let report = sandbox.start_daemon().await;
    assert_eq!((report.adopted, report.finished, report.orphans), (1, 0, 0));
    assert_eq!(sandbox.vms().await.len(), 1);
}

#[tokio::test]
async fn long_polls_and_followed_logs_do_not_hold_up_the_end() {
    let mut sandbox = Sandbox::start().await;
    sandbox.create("dev").await;
    let log = sandbox.client.stream("/v1/vms/dev/logs?follow=true").await.unwrap();
    let idle = tokio::net::UnixStream::connect(sandbox.paths.daemon_socket()).await.unwrap();
    let begun = Instant::now();
    sandbox.shut_down();
    sandbox.daemon_ended().await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    drop((log, idle));
}

#[tokio::test]
async fn an_open_stream_counts_as_work() {
    let sandbox = Sandbox::start().await;
    sandbox.create("dev").await;
    let _guest = sandbox.guest("dev").await;
    let info: banger_api::DaemonInfo = sandbox.client.get("/v1/info").await.unwrap();
    assert_eq!(info.work_in_progress, 1);
    assert!(sandbox.client.post::<()>("/v1/shutdown", &json!({})).await.is_err());
}

#[tokio::test]
async fn what_failed_tells_its_operation() {
    let sandbox = Sandbox::start().await;
    sandbox.create("dev").await;
    sandbox.act("dev", "stop").await.unwrap();
    let signal = json!({ "signal": "TERM" });
    let begun = sandbox.begin("/v1/vms/dev/kill", signal).await.unwrap();
    let error = sandbox.finish(begun.clone()).await.unwrap_err();
    assert_eq!(error.op_id.as_deref(), Some(begun.id.as_str()));
    let ended = sandbox.client.operation(&begun.id, 0).await.unwrap();
    assert_eq!(ended.state, OperationState::Failed);
    assert_eq!(sandbox.vm("dev").await.unwrap().state, VmState::Stopped);
}
