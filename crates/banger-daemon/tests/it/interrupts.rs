//! Kill and delete end whatever is done with the VM: nothing that hangs holds them up, and no machine is left without
//! a row.

use banger_guest::proto::ExecStart;
use banger_model::VmState;

use crate::gate::{Gate, PATIENCE};
use crate::sandbox::Sandbox;

async fn stopped_vm() -> Sandbox {
    let sandbox = Sandbox::start().await;
    sandbox.create("dev").await;
    sandbox.act("dev", "stop").await.unwrap();
    sandbox
}

fn start_phases(sandbox: &Sandbox) -> [&Gate; 4] {
    let behaviour = sandbox.behaviour();
    [&sandbox.source.image, &behaviour.launch, &behaviour.launched, &behaviour.connect]
}

#[tokio::test]
async fn a_kill_ends_a_start_that_hangs_in_any_phase() {
    let sandbox = stopped_vm().await;
    for phase in start_phases(&sandbox) {
        let before = phase.visitors();
        phase.close();
        let starting = sandbox.begin_act("dev", "start").await;
        phase.reached(before + 1).await;
        let vm = sandbox.act("dev", "kill").await.unwrap().unwrap();
        assert_eq!((vm.state, vm.pid, vm.last_error), (VmState::Stopped, None, None));
        sandbox.ended_cancelled(starting).await;
        sandbox.no_process_is_left().await;
        phase.open();
    }
    assert_eq!(sandbox.act("dev", "start").await.unwrap().unwrap().state, VmState::Running);
}

#[tokio::test]
async fn a_kill_ends_those_starts_too_that_wait_for_their_turn() {
    let sandbox = stopped_vm().await;
    let connect = &sandbox.behaviour().connect;
    let before = connect.visitors();
    connect.close();
    let first = sandbox.begin_act("dev", "start").await;
    connect.reached(before + 1).await;
    let second = sandbox.begin_act("dev", "restart").await;
    sandbox.client.operation(&second.id, second.revision).await.unwrap();
    sandbox.act("dev", "kill").await.unwrap();
    sandbox.ended_cancelled(first).await;
    sandbox.ended_cancelled(second).await;
    assert_eq!(sandbox.vm("dev").await.unwrap().state, VmState::Stopped);
    sandbox.no_process_is_left().await;
}

#[tokio::test]
async fn a_kill_during_the_stop_of_a_restart_ends_the_restart() {
    let sandbox = Sandbox::start().await;
    sandbox.create("dev").await;
    let connect = &sandbox.behaviour().connect;
    let before = connect.visitors();
    connect.close();
    let restarting = sandbox.begin_act("dev", "restart").await;
    connect.reached(before + 1).await;
    let vm = sandbox.act("dev", "kill").await.unwrap().unwrap();
    assert_eq!((vm.state, vm.last_error), (VmState::Stopped, None));
    sandbox.ended_cancelled(restarting).await;
    sandbox.no_process_is_left().await;
}

#[tokio::test]
async fn a_kill_cuts_a_stop_short() {
    let sandbox = Sandbox::start().await;
    sandbox.create("dev").await;
    let connect = &sandbox.behaviour().connect;
    let before = connect.visitors();
    connect.close();
    let stopping = sandbox.begin_act("dev", "stop").await;
    connect.reached(before + 1).await;
    assert_eq!(sandbox.act("dev", "kill").await.unwrap().unwrap().state, VmState::Stopped);
    sandbox.finish(stopping).await.unwrap();
    assert_eq!(sandbox.vm("dev").await.unwrap().last_error, None);
}

#[tokio::test]
async fn a_kill_or_delete_of_a_vm_in_the_making_undoes_its_create() {
    let sandbox = Sandbox::start().await;
    let behaviour = sandbox.behaviour();
    for verb in ["kill", "delete"] {
        for phase in [&behaviour.launch, &behaviour.launched, &behaviour.connect] {
            let before = phase.visitors();
            phase.close();
            let making = sandbox.begin_create("dev").await;
            phase.reached(before + 1).await;
            assert_eq!(sandbox.act("dev", verb).await, Ok(None));
            sandbox.ended_cancelled(making).await;
            sandbox.nothing_is_left().await;
            phase.open();
        }
    }
}

#[tokio::test]
async fn a_delete_ends_a_start_that_hangs_in_any_phase() {
    let sandbox = Sandbox::start().await;
    for phase in start_phases(&sandbox) {
        sandbox.create("dev").await;
        sandbox.act("dev", "stop").await.unwrap();
        let before = phase.visitors();
        phase.close();
        let starting = sandbox.begin_act("dev", "start").await;
        phase.reached(before + 1).await;
        sandbox.act("dev", "delete").await.unwrap();
        sandbox.ended_cancelled(starting).await;
        sandbox.nothing_is_left().await;
        phase.open();
    }
}

#[tokio::test]
async fn a_delete_ends_the_commands_in_the_guest() {
    let sandbox = Sandbox::start().await;
    sandbox.create("dev").await;
    let argv = ["cat"].map(|argument| argument.as_bytes().into()).to_vec();
    let start = ExecStart { argv, working_directory: "/".into(), ..ExecStart::default() };
    let mut session = sandbox.guest("dev").await.exec(start, PATIENCE).await.unwrap();
    session.next().await.unwrap();
    sandbox.act("dev", "delete").await.unwrap();
    let end = tokio::time::timeout(PATIENCE, session.next()).await.unwrap();
    assert!(end.is_err(), "{end:?}");
    sandbox.nothing_is_left().await;
}

#[tokio::test]
async fn two_deletes_at_once_both_succeed() {
    let sandbox = Sandbox::start().await;
    sandbox.create("dev").await;
    let (one, two) = tokio::join!(sandbox.begin_act("dev", "delete"), sandbox.begin_act("dev", "delete"));
    sandbox.finish(one).await.unwrap();
    sandbox.finish(two).await.unwrap();
    sandbox.nothing_is_left().await;
}

#[tokio::test]
async fn starts_and_kills_in_any_order_leave_rows_and_machines_in_agreement() {
    let sandbox = stopped_vm().await;
    for _ in 0..15 {
        let (starting, killing) =
            tokio::join!(sandbox.begin_act("dev", "start"), sandbox.begin_act("dev", "kill"));
        // Either may be denied or cancelled; what counts is where they leave the VM.
        let _ = tokio::join!(sandbox.finish(starting), sandbox.finish(killing));
        let vm = sandbox.vm("dev").await.unwrap();
        if vm.state == VmState::Running {
            assert_eq!(sandbox.processes().first().map(|process| process.pid), vm.pid);
            sandbox.act("dev", "kill").await.unwrap();
        }
        assert_eq!(sandbox.vm("dev").await.unwrap().state, VmState::Stopped);
        sandbox.no_process_is_left().await;
    }
}
