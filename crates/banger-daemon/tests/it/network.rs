//! The process of a VM's network is killed: it is told, started again where that can be, and nothing else changes.

use banger_model::{EventKind, NetworkTrouble, VmState};
use banger_sys::process::ProcessIdentity;
use banger_vmm::fake::FakeNetwork;
use banger_vmm::handle;
use rustix::process::Signal;

use crate::sandbox::Sandbox;

/// Returns the process that stands for the network of the only VM.
fn network(sandbox: &Sandbox) -> ProcessIdentity {
    let directory = std::fs::read_dir(sandbox.paths.vms()).unwrap().next().unwrap().unwrap().path();
    let handle = handle::load(&directory).unwrap().unwrap();
    assert_eq!(handle.companions.len(), 1);
    handle.companions[0].into()
}

fn kill(process: ProcessIdentity) {
    process.open().unwrap().unwrap().signal(Signal::KILL).unwrap();
}

fn told(sandbox: &Sandbox) -> Vec<(EventKind, Option<String>)> {
    let events = sandbox.store().events(0, 1000).unwrap().into_iter().map(|row| row.event);
    events
        .filter(|event| matches!(event.kind, EventKind::VmNetworkLost | EventKind::VmNetworkRestored))
        .map(|event| (event.kind, event.message))
        .collect()
}

async fn running(network: FakeNetwork) -> Sandbox {
    let sandbox = Sandbox::start().await;
    *sandbox.vmms.behaviour.network.lock().unwrap() = network;
    sandbox.create("dev").await;
    sandbox
}

#[tokio::test]
async fn a_network_that_was_killed_is_told_and_started_again() {
    let mut sandbox = running(FakeNetwork::Restarts).await;
    let first = network(&sandbox);
    kill(first);
    let vm = sandbox.wait_for("dev", |vm| vm.network_trouble.is_some()).await;
    assert_eq!((vm.state, vm.network_trouble), (VmState::Running, Some(NetworkTrouble::Restarting)));
    sandbox.wait_for("dev", |vm| vm.network_trouble.is_none()).await;
    assert_eq!(
        told(&sandbox),
        [
            (EventKind::VmNetworkLost, Some(NetworkTrouble::Restarting.to_string())),
            (EventKind::VmNetworkRestored, None),
        ]
    );
    let second = network(&sandbox);
    assert_ne!(second, first);
    // The next daemon watches the process that is there now, and one that ended meanwhile is seen as well.
    sandbox.crash_daemon();
    kill(second);
    sandbox.start_daemon().await;
    sandbox.wait_for("dev", |vm| vm.network_trouble.is_some()).await;
    sandbox.wait_for("dev", |vm| vm.network_trouble.is_none()).await;
    let third = network(&sandbox);
    sandbox.act("dev", "delete").await.unwrap();
    assert!(!third.is_alive());
    sandbox.nothing_is_left().await;
}

#[tokio::test]
async fn a_network_that_cannot_be_started_again_is_told_as_lost_and_a_restart_brings_it_back() {
    let sandbox = running(FakeNetwork::Once).await;
    kill(network(&sandbox));
    let vm = sandbox.wait_for("dev", |vm| vm.network_trouble.is_some()).await;
    assert_eq!((vm.state, vm.network_trouble), (VmState::Running, Some(NetworkTrouble::Lost)));
    assert_eq!(told(&sandbox), [(EventKind::VmNetworkLost, Some(NetworkTrouble::Lost.to_string()))]);
    sandbox.act("dev", "restart").await.unwrap();
    assert_eq!(sandbox.vm("dev").await.unwrap().network_trouble, None);
    sandbox.act("dev", "delete").await.unwrap();
    sandbox.nothing_is_left().await;
}
