//! VMs that go with a process of the host.

use std::process::{Child, Command};

use banger_model::{EventKind, Hint, VmState};
use banger_sys::process::ProcessIdentity;
use serde_json::{Value, json};

use crate::sandbox::Sandbox;

/// A process to bind VMs to.
fn client() -> Child {
    Command::new("sleep").arg("1000").spawn().unwrap()
}

fn end(mut client: Child) {
    client.kill().unwrap();
    client.wait().unwrap();
}

fn request(name: &str, client: &Child) -> Value {
    let process = ProcessIdentity::of(client.id()).unwrap();
    json!({ "name": name, "bound_to": { "pid": process.pid, "start_ticks": process.start_ticks } })
}

#[tokio::test]
async fn a_vm_goes_with_its_process() {
    let sandbox = Sandbox::start().await;
    let client = client();
    let begun = sandbox.begin("/v1/vms", request("dev", &client)).await.unwrap();
    sandbox.finish(begun).await.unwrap();
    sandbox.create("other").await;
    assert_eq!(sandbox.vm("dev").await.unwrap().state, VmState::Running);
    end(client);
    sandbox.wait_until_gone("dev").await;
    assert_eq!(
        sandbox.why(EventKind::VmRemoved).as_deref(),
        Some("the process for which it was made has ended")
    );
    assert_eq!(sandbox.vm("other").await.unwrap().state, VmState::Running);
}

#[tokio::test]
async fn a_vm_that_is_being_made_goes_with_its_process() {
    for phase in 0..3 {
        let sandbox = Sandbox::start().await;
        let gate = match phase {
            0 => &sandbox.source.disks,
            1 => &sandbox.behaviour().launch,
            _ => &sandbox.behaviour().connect,
        };
        gate.close();
        let client = client();
        let begun = sandbox.begin("/v1/vms", request("dev", &client)).await.unwrap();
        gate.reached(1).await;
        end(client);
        // Disks are made to their end before anything else.
        sandbox.source.disks.open();
        sandbox.ended_cancelled(begun).await;
        sandbox.nothing_is_left().await;
    }
}

#[tokio::test]
async fn the_next_daemon_knows_the_process_and_sees_that_it_has_ended() {
    let mut sandbox = Sandbox::start().await;
    let (lives, ended) = (client(), client());
    for (name, client) in [("lives", &lives), ("ended", &ended)] {
        let begun = sandbox.begin("/v1/vms", request(name, client)).await.unwrap();
        sandbox.finish(begun).await.unwrap();
    }
    sandbox.crash_daemon();
    end(ended);
    sandbox.start_daemon().await;
    sandbox.wait_until_gone("ended").await;
    assert_eq!(sandbox.vm("lives").await.unwrap().state, VmState::Running);
    end(lives);
    sandbox.wait_until_gone("lives").await;
    sandbox.nothing_is_left().await;
}

#[tokio::test]
async fn a_process_that_does_not_run_is_refused() {
    let sandbox = Sandbox::start().await;
    let client = client();
    let request = request("dev", &client);
    let pid = client.id();
    end(client);
    let error = sandbox.begin("/v1/vms", request).await.unwrap_err();
    let told = format!("no process {pid} on this host to bind the VM to");
    assert_eq!(error.message, told);
    sandbox.nothing_is_left().await;
}

#[tokio::test]
async fn nothing_is_kept_of_a_guest_that_does_not_get_ready() {
    let sandbox = Sandbox::impatient().await;
    sandbox.vmms.silence_guests(true);
    let client = client();
    let begun = sandbox.begin("/v1/vms", request("dev", &client)).await.unwrap();
    let error = sandbox.finish(begun).await.unwrap_err();
    assert_eq!(error.message, "the guest of VM `dev` did not answer within 0 s; the VM is deleted");
    assert_eq!(error.hint, Some(Hint::KeepVm));
    sandbox.nothing_is_left().await;
    end(client);
}
