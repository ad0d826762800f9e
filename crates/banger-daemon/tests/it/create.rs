//! Making a VM, and the streams to its guest.

use banger_api::{ErrorCode, OperationState, VmView};
use banger_guest::{ExecEvent, ExitOutcome};
use banger_model::{Hint, VmState};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::gate::PATIENCE;
use crate::sandbox::{Sandbox, refused};

#[tokio::test]
async fn a_create_tells_its_stages_and_ends_with_a_running_vm() {
    let sandbox = Sandbox::start().await;
    let ended = sandbox.finish(sandbox.begin_create("dev").await).await.unwrap();
    assert_eq!((ended.state, ended.target.as_str()), (OperationState::Succeeded, "dev"));
    let stages: Vec<_> = ended.stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(stages, ["look for image", "create disks", "start machine", "boot guest"]);
    assert!(ended.stages.iter().all(|stage| stage.took_ms.is_some()));
    let result: VmView = serde_json::from_value(ended.result.unwrap()).unwrap();
    assert_eq!(sandbox.vm("dev").await, Some(result.clone()));
    assert_eq!((result.state, result.vmm.as_deref()), (VmState::Running, Some("fake")));
    assert_eq!(sandbox.processes().first().map(|process| process.pid), result.pid);
    assert!(result.boot_id.is_some());
}

#[tokio::test]
async fn a_create_may_wait_for_the_whole_system() {
    let sandbox = Sandbox::start().await;
    let begun = sandbox.begin("/v1/vms", json!({ "name": "dev", "wait": "system" })).await.unwrap();
    let ended = sandbox.finish(begun).await.unwrap();
    assert_eq!(ended.stages.last().unwrap().name, "wait for services");
    assert_eq!(sandbox.vm("dev").await.unwrap().state, VmState::Running);
}

#[tokio::test]
async fn a_create_without_start_makes_disks_and_no_machine() {
    let sandbox = Sandbox::start().await;
    let begun = sandbox.begin("/v1/vms", json!({ "name": "dev", "no_start": true })).await.unwrap();
    sandbox.finish(begun).await.unwrap();
    let vm = sandbox.vm("dev").await.unwrap();
    assert_eq!((vm.state, vm.pid), (VmState::Created, None));
    assert!(sandbox.paths.vm(vm.id.as_str()).join("work.ext4").is_file());
    assert_eq!(sandbox.processes(), []);
    assert_eq!(sandbox.act("dev", "start").await.unwrap().unwrap().state, VmState::Running);
}

#[tokio::test]
async fn a_command_gets_its_arguments_as_they_are_and_tells_how_it_ended() {
    let sandbox = Sandbox::start().await;
    sandbox.create("dev").await;
    let argv: [&[u8]; 6] = [b"printf", b"[%s]", b"a b", b"", b"$HOME'\"", b"\xff\n"];
    let (output, end) = sandbox.exec("dev", &argv).await;
    assert_eq!(output, b"[a b][][$HOME'\"][\xff\n]");
    assert_eq!(end, ExecEvent::Exited(ExitOutcome::Code(0)));
    let (_, end) = sandbox.exec("dev", &[b"sh", b"-c", b"exit 42"]).await;
    assert_eq!(end, ExecEvent::Exited(ExitOutcome::Code(42)));
    let (_, end) = sandbox.exec("dev", &[b"sh", b"-c", b"kill -15 $$"]).await;
    assert_eq!(end, ExecEvent::Exited(ExitOutcome::Signal(15)));
}

#[tokio::test]
async fn a_stream_needs_a_known_port_and_the_upgrade() {
    let sandbox = Sandbox::start().await;
    sandbox.create("dev").await;
    let error = refused(sandbox.client.upgrade("/v1/vms/dev/channel?port=22", PATIENCE).await.unwrap_err());
    assert_eq!(error.code, ErrorCode::BadRequest);
    assert_eq!(error.message, "the guest's agent has the ports 1024 and 1025, not 22");
    let plain = sandbox.client.get::<()>("/v1/vms/dev/channel?port=1024").await.unwrap_err();
    let error = refused(plain);
    assert_eq!(error.code, ErrorCode::BadRequest);
    assert_eq!(error.message, "this route needs the header `Upgrade: banger-channel`");
    let error = refused(sandbox.client.upgrade("/v1/vms/dev/channel?port=x", PATIENCE).await.unwrap_err());
    assert_eq!(error.code, ErrorCode::BadRequest);
}

#[tokio::test]
async fn a_stopped_vm_takes_no_stream_and_says_what_to_type() {
    let sandbox = Sandbox::start().await;
    sandbox.create("dev").await;
    sandbox.act("dev", "kill").await.unwrap();
    let error = refused(sandbox.client.upgrade("/v1/vms/dev/channel?port=1024", PATIENCE).await.unwrap_err());
    assert_eq!(error.code, ErrorCode::NotRunning);
    assert_eq!(error.message, "VM `dev` is not running");
    assert_eq!(error.hint, Some(Hint::StartVm { vm: "dev".to_owned() }));
}

#[tokio::test]
async fn a_starting_vm_takes_no_stream_and_says_why() {
    let sandbox = Sandbox::start().await;
    sandbox.behaviour().connect.close();
    sandbox.begin_create("dev").await;
    sandbox.behaviour().connect.reached(1).await;
    let error = refused(sandbox.client.upgrade("/v1/vms/dev/channel?port=1024", PATIENCE).await.unwrap_err());
    assert_eq!(error.message, "VM `dev` is starting");
    assert_eq!(error.code, ErrorCode::NotRunning);
}

#[tokio::test]
async fn a_client_that_goes_away_changes_nothing() {
    let sandbox = Sandbox::start().await;
    sandbox.source.disks.close();
    let begun = sandbox.begin_create("dev").await;
    // A client that dies in its long poll, and one in the middle of its request.
    let poll = tokio::spawn({
        let client = sandbox.client.clone();
        async move { client.operation(&begun.id, u64::MAX - 1).await.map(drop) }
    });
    sandbox.source.disks.reached(1).await;
    poll.abort();
    let mut half = tokio::net::UnixStream::connect(sandbox.paths.daemon_socket()).await.unwrap();
    half.write_all(b"POST /v1/vms HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{\"name\":")
        .await
        .unwrap();
    drop(half);
    sandbox.source.disks.open();
    let vm = sandbox.wait_for("dev", |vm| vm.state == VmState::Running).await;
    assert_eq!(sandbox.vms().await, [vm]);
}

#[tokio::test]
async fn the_end_of_a_client_ends_its_stream_to_the_guest() {
    let sandbox = Sandbox::start().await;
    sandbox.create("dev").await;
    let mut stream = sandbox.client.upgrade("/v1/vms/dev/channel?port=1025", PATIENCE).await.unwrap();
    stream.write_all(b"nonsense\n").await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    drop(stream);
    // Nothing is at work any more, so the daemon may be stopped without force.
    let mut sandbox = sandbox;
    let asked = tokio::time::timeout(PATIENCE, async {
        while sandbox.client.post::<()>("/v1/shutdown", &json!({})).await.is_err() {
            tokio::task::yield_now().await;
        }
    });
    asked.await.unwrap();
    sandbox.daemon_ended().await;
}
