//! What fails is undone; a guest that does not answer is kept.

use std::sync::atomic::Ordering;

use banger_api::ErrorCode;
use banger_model::{Hint, VmState};
use http_body_util::BodyExt as _;

use crate::fake_vmms::kill;
use crate::gate::PATIENCE;
use crate::sandbox::{Sandbox, refused};

#[tokio::test]
async fn a_failure_in_any_phase_leaves_nothing() {
    let sandbox = Sandbox::start().await;
    let phases =
        [&sandbox.source.fails_at_image, &sandbox.source.fails_at_disks, &sandbox.behaviour().refuses];
    for fails in phases {
        fails.store(true, Ordering::SeqCst);
        let error = sandbox.try_create("dev").await.unwrap_err();
        assert_eq!(error.code, ErrorCode::OperationFailed, "{error:?}");
        assert!(error.op_id.is_some());
        sandbox.nothing_is_left().await;
        fails.store(false, Ordering::SeqCst);
        // The name is free again.
        sandbox.create("dev").await;
        sandbox.act("dev", "delete").await.unwrap();
    }
}

/// The VM runs on: what is missing, and how it comes back, is told.
#[tokio::test]
async fn a_socket_that_was_removed_is_named() {
    let sandbox = Sandbox::start().await;
    let vm = sandbox.create("dev").await;
    let socket = sandbox.paths.vm_sockets(vm.id.as_str()).join("channel.sock");
    std::fs::remove_file(&socket).unwrap();
    let path = format!("/v1/vms/dev/channel?port={}", banger_agent_proto::CONTROL_PORT);
    let error = refused(sandbox.client.upgrade(&path, PATIENCE).await.unwrap_err());
    let told = format!("cannot reach the guest of VM `dev`: the socket `{}` was removed", socket.display());
    assert_eq!(error.message, told);
    assert!(matches!(error.hint, Some(Hint::Advice { text }) if text.contains("banger daemon stop")));
}

#[tokio::test]
async fn a_refused_start_tells_what_the_vmm_said() {
    let sandbox = Sandbox::start().await;
    sandbox.behaviour().refuses.store(true, Ordering::SeqCst);
    let error = sandbox.try_create("dev").await.unwrap_err();
    assert_eq!(
        error.message,
        "cannot start VM `dev`: `qemu-system-x86_64` exited immediately: no such machine"
    );
    assert_eq!(error.hint, Some(Hint::ExamineHost));
}

#[tokio::test]
async fn a_refused_start_of_an_existing_vm_keeps_it_and_tells_why() {
    let sandbox = Sandbox::start().await;
    sandbox.create("dev").await;
    sandbox.act("dev", "kill").await.unwrap();
    sandbox.behaviour().refuses.store(true, Ordering::SeqCst);
    sandbox.act("dev", "start").await.unwrap_err();
    let vm = sandbox.vm("dev").await.unwrap();
    assert_eq!((vm.state, vm.pid), (VmState::Failed, None));
    assert!(vm.last_error.unwrap().ends_with("no such machine"));
    assert!(!sandbox.paths.vm_sockets(vm.id.as_str()).exists());
    sandbox.behaviour().refuses.store(false, Ordering::SeqCst);
    let vm = sandbox.act("dev", "start").await.unwrap().unwrap();
    assert_eq!((vm.state, vm.last_error), (VmState::Running, None));
}

#[tokio::test]
async fn a_silent_guest_is_kept_without_its_machine_and_can_be_started_again() {
    let sandbox = Sandbox::impatient().await;
    sandbox.vmms.silence_guests(true);
    sandbox.behaviour().launched.close();
    let begun = sandbox.begin_create("dev").await;
    sandbox.behaviour().launched.reached(1).await;
    let id = sandbox.vm("dev").await.unwrap().id;
    let log = sandbox.paths.vm(id.as_str()).join("console.log");
    std::fs::write(&log, "Linux version 6.1\r\nKernel panic - not syncing\r\n").unwrap();
    sandbox.behaviour().launched.open();
    let error = sandbox.finish(begun).await.unwrap_err();
    assert!(error.message.starts_with("the guest of VM `dev` did not answer within"), "{}", error.message);
    assert_eq!(error.console, ["Linux version 6.1", "Kernel panic - not syncing"]);
    assert_eq!(error.hint, Some(Hint::ReadVmLog { vm: "dev".to_owned() }));
    let vm = sandbox.vm("dev").await.unwrap();
    assert_eq!((vm.state, vm.pid), (VmState::Failed, None));
    assert_eq!(vm.last_error.unwrap(), error.message);
    assert_eq!(sandbox.processes(), []);
    assert!(!sandbox.paths.vm_sockets(id.as_str()).exists());
    let logs = sandbox.client.stream("/v1/vms/dev/logs").await.unwrap().collect().await.unwrap().to_bytes();
    assert!(logs.ends_with(b"not syncing\r\n"));
    sandbox.vmms.silence_guests(false);
    assert_eq!(sandbox.act("dev", "start").await.unwrap().unwrap().state, VmState::Running);
}

#[tokio::test]
async fn a_guest_that_ends_before_its_hello_is_kept_and_the_error_says_so() {
    let sandbox = Sandbox::start().await;
    sandbox.behaviour().connect.close();
    let begun = sandbox.begin_create("dev").await;
    sandbox.behaviour().connect.reached(1).await;
    kill(sandbox.processes()[0]);
    let error = sandbox.finish(begun).await.unwrap_err();
    assert_eq!(
        error.message,
        "the guest of VM `dev` ended before it was ready (its VMM was killed from outside, by signal 9)"
    );
    let vm = sandbox.vm("dev").await.unwrap();
    assert_eq!((vm.state, vm.last_error), (VmState::Failed, Some(error.message)));
}
