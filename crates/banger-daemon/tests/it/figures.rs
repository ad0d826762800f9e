//! What is seen of a VM: listeners and figures.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use banger_api::{ErrorCode, ListenerView, VmStats};
use banger_model::Hint;

use crate::sandbox::{Sandbox, refused};

#[tokio::test]
async fn listeners_of_the_guest_are_listed() {
    let sandbox = Sandbox::start().await;
    sandbox.create("dev").await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let ports: Vec<ListenerView> = sandbox.client.get("/v1/vms/dev/ports").await.unwrap();
    let found = ports.iter().find(|found| found.port == address.port()).unwrap();
    assert_eq!(found.address, address.ip());
    assert!(found.processes.iter().any(|process| process.pid == std::process::id()), "{found:?}");
}

#[tokio::test]
async fn figures_come_from_the_host_and_from_the_guest() {
    let sandbox = Sandbox::start().await;
    let id = sandbox.create("dev").await.id;
    std::fs::write(sandbox.paths.vm(id.as_str()).join("work.ext4"), vec![1; 100_000]).unwrap();
    let stats: VmStats = sandbox.client.get("/v1/vms/dev/stats").await.unwrap();
    let work = stats.host.disks.iter().find(|disk| disk.role == "work").unwrap();
    assert_eq!(work.size_bytes, 100_000);
    assert!(work.allocated_bytes >= 100_000);
    assert!(stats.host.machine.unwrap().resident_bytes > 100_000);
    assert!(stats.guest.unwrap().memory_total_bytes > 0);
    let host: VmStats = sandbox.client.get("/v1/vms/dev/stats?host_only=true").await.unwrap();
    assert_eq!((host.guest, host.guest_error), (None, None));
}

#[tokio::test]
async fn a_silent_guest_costs_its_own_figures_and_five_seconds() {
    let sandbox = Sandbox::start().await;
    sandbox.create("dev").await;
    sandbox.vmms.silence_guests(true);
    let begun = Instant::now();
    let stats = sandbox.client.get::<VmStats>("/v1/vms/dev/stats");
    let ports = sandbox.client.get::<Vec<ListenerView>>("/v1/vms/dev/ports");
    let (stats, ports) = tokio::join!(stats, ports);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let stats = stats.unwrap();
    assert!(stats.host.machine.is_some() && stats.guest.is_none());
    let message = "cannot query the guest of VM `dev`: the guest did not answer `stats` within 4 s";
    assert_eq!(stats.guest_error.as_deref(), Some(message));
    let error = refused(ports.unwrap_err());
    assert_eq!(
        (error.code, error.hint),
        (ErrorCode::OperationFailed, Some(Hint::ReadVmLog { vm: "dev".to_owned() }))
    );
}

#[tokio::test]
async fn a_stopped_vm_has_disks_and_no_listeners() {
    let sandbox = Sandbox::start().await;
    sandbox.create("dev").await;
    sandbox.act("dev", "stop").await.unwrap();
    let stats: VmStats = sandbox.client.get("/v1/vms/dev/stats").await.unwrap();
    assert_eq!((stats.host.machine, stats.guest, stats.guest_error), (None, None, None));
    let error = refused(sandbox.client.get::<Vec<ListenerView>>("/v1/vms/dev/ports").await.unwrap_err());
    assert_eq!(
        (error.code, error.hint),
        (ErrorCode::NotRunning, Some(Hint::StartVm { vm: "dev".to_owned() }))
    );
}
