//! Images whose services are waited for.

use std::net::TcpListener;

use banger_api::{ErrorBody, ErrorCode, OperationState, OperationView};
use banger_model::{Hint, VmState};

use crate::sandbox::Sandbox;

/// Promises these ports for every image.
fn promise(sandbox: &Sandbox, ports: &[u16]) {
    *sandbox.source.ready_ports.lock().unwrap() = ports.to_vec();
}

/// Waits until an operation has come to a stage.
async fn wait_for_stage(sandbox: &Sandbox, begun: &OperationView, name: &str) -> OperationView {
    let mut view = begun.clone();
    while view.stages.iter().all(|stage| stage.name != name) {
        assert!(!view.state.is_final(), "{view:?}");
        view = sandbox.client.operation(&view.id, view.revision).await.unwrap();
    }
    view
}

/// Returns a listener and its port: a guest of these tests listens where the host does.
fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[tokio::test]
async fn a_create_waits_for_each_port_with_a_stage_of_its_own() {
    let sandbox = Sandbox::start().await;
    let ((_first, first), (second, later)) = (listen(), listen());
    drop(second);
    promise(&sandbox, &[first, later]);
    let begun = sandbox.begin_create("dev").await;
    let name = format!("wait for port {later}");
    let waiting = wait_for_stage(&sandbox, &begun, &name).await;
    assert_eq!(waiting.state, OperationState::Running);
    assert!(waiting.stages.iter().any(|stage| stage.name == format!("wait for port {first}")));
    // Commands run while a service is waited for.
    assert_eq!(sandbox.exec("dev", &[b"echo", b"here"]).await.0, b"here\n");
    let _second = TcpListener::bind(("127.0.0.1", later)).unwrap();
    assert_eq!(sandbox.finish(begun).await.unwrap().state, OperationState::Succeeded);
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_named_and_the_vm_runs_on() {
    let sandbox = Sandbox::impatient().await;
    let (listener, port) = listen();
    drop(listener);
    promise(&sandbox, &[port]);
    let message = format!("nothing listens on port {port} of VM `dev` after 0 s; the VM keeps running");
    let runs_on = async |error: ErrorBody| {
        assert_eq!((error.code, &error.message), (ErrorCode::OperationFailed, &message));
        assert_eq!(error.hint, Some(Hint::EnterVm { vm: "dev".to_owned() }));
        let vm = sandbox.vm("dev").await.unwrap();
        assert_eq!((vm.state, vm.last_error.as_ref()), (VmState::Running, Some(&message)));
        assert_eq!(sandbox.exec("dev", &[b"echo", b"here"]).await.0, b"here\n");
    };
    runs_on(sandbox.try_create("dev").await.unwrap_err()).await;
    sandbox.act("dev", "stop").await.unwrap();
    runs_on(sandbox.act("dev", "start").await.unwrap_err()).await;
    sandbox.act("dev", "delete").await.unwrap();
    sandbox.nothing_is_left().await;
}

#[tokio::test]
async fn a_create_that_is_cancelled_while_it_waits_for_a_port_leaves_nothing() {
    let sandbox = Sandbox::start().await;
    let (listener, port) = listen();
    drop(listener);
    promise(&sandbox, &[port]);
    let begun = sandbox.begin_create("dev").await;
    wait_for_stage(&sandbox, &begun, &format!("wait for port {port}")).await;
    sandbox.cancel(&begun).await;
    assert_eq!(sandbox.ended_cancelled(begun).await.code, ErrorCode::Cancelled);
    sandbox.nothing_is_left().await;
}

#[tokio::test]
async fn a_machine_that_ends_while_a_port_is_waited_for_is_told_as_such() {
    let sandbox = Sandbox::start().await;
    let (listener, port) = listen();
    drop(listener);
    promise(&sandbox, &[port]);
    let begun = sandbox.begin_create("dev").await;
    wait_for_stage(&sandbox, &begun, &format!("wait for port {port}")).await;
    sandbox.processes().into_iter().for_each(crate::fake_vmms::kill);
    let error = sandbox.finish(begun).await.unwrap_err();
    assert!(error.message.starts_with("the guest of VM `dev` ended before it was ready"), "{error:?}");
    let vm = sandbox.vm("dev").await.unwrap();
    assert_eq!((vm.state, vm.pid), (VmState::Stopped, None));
}
