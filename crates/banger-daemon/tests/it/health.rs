//! A guest that hangs is told, can be ended, and gets the time again when it comes back.

use banger_model::{EventKind, LostSocket, VmState};
use rustix::process::{Pid, Signal, kill_process};

use crate::sandbox::Sandbox;

fn signal(sandbox: &Sandbox, signal: Signal) {
    let pid = sandbox.processes()[0].pid;
    kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), signal).unwrap();
}

#[tokio::test]
async fn a_guest_that_hangs_is_unresponsive_until_it_answers_again() {
    let sandbox = Sandbox::start().await;
    sandbox.create("dev").await;
    signal(&sandbox, Signal::STOP);
    let vm = sandbox.wait_for("dev", |vm| vm.is_unresponsive).await;
    assert_eq!(vm.state, VmState::Running);
    signal(&sandbox, Signal::CONT);
    sandbox.wait_for("dev", |vm| !vm.is_unresponsive).await;
    let events = sandbox.store().events(0, 100).unwrap();
    let kinds: Vec<_> = events.into_iter().map(|row| row.event.kind).collect();
    assert!(kinds.ends_with(&[EventKind::VmUnresponsive, EventKind::VmResponsive]), "{kinds:?}");
}

#[tokio::test]
async fn a_vm_whose_socket_was_removed_says_so_and_what_to_do() {
    let sandbox = Sandbox::start().await;
    let vm = sandbox.create("dev").await;
    assert_eq!(vm.lost_socket, None);
    std::fs::remove_file(sandbox.paths.vm_sockets(vm.id.as_str()).join("channel.sock")).unwrap();
    let vm = sandbox.wait_for("dev", |vm| vm.is_unresponsive).await;
    assert_eq!(vm.lost_socket, Some(LostSocket::Channel));
    let events = sandbox.store().events(0, 100).unwrap();
    let told = events.into_iter().rfind(|row| row.event.kind == EventKind::VmUnresponsive).unwrap();
    assert_eq!(told.event.message.as_deref(), Some(LostSocket::Channel.as_str()));
    // As it says, a restart helps.
    let vm = sandbox.act("dev", "restart").await.unwrap().unwrap();
    assert_eq!((vm.state, vm.is_unresponsive, vm.lost_socket), (VmState::Running, false, None));
}

#[tokio::test]
async fn a_guest_that_hangs_can_be_killed_and_deleted() {
    let sandbox = Sandbox::start().await;
    sandbox.create("dev").await;
    signal(&sandbox, Signal::STOP);
    sandbox.wait_for("dev", |vm| vm.is_unresponsive).await;
    let vm = sandbox.act("dev", "kill").await.unwrap().unwrap();
    assert_eq!((vm.state, vm.is_unresponsive), (VmState::Stopped, false));
    sandbox.act("dev", "start").await.unwrap();
    signal(&sandbox, Signal::STOP);
    sandbox.act("dev", "delete").await.unwrap();
    sandbox.nothing_is_left().await;
}
