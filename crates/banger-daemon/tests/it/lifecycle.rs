//! Stop, start, restart, and machines that end when nobody asked.

use banger_api::ErrorCode;
use banger_model::{EventKind, VmState};
use serde_json::json;

use crate::fake_vmms::kill;
use crate::sandbox::Sandbox;

#[tokio::test]
async fn a_stop_asks_the_guest_and_leaves_the_disks_only() {
    let sandbox = Sandbox::start().await;
    let id = sandbox.create("dev").await.id;
    let begun = sandbox.begin_act("dev", "stop").await;
    let ended = sandbox.finish(begun).await.unwrap();
    let stages: Vec<_> = ended.stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(stages, ["stop guest"], "the guest stopped by itself");
    let vm = sandbox.vm("dev").await.unwrap();
    assert_eq!((vm.state, vm.pid, vm.last_error), (VmState::Stopped, None, None));
    assert_eq!(sandbox.processes(), []);
    assert_eq!(sandbox.directories(), [sandbox.paths.vm(id.as_str())]);
}

#[tokio::test]
async fn a_kill_is_done_when_nothing_but_the_disks_is_left() {
    let sandbox = Sandbox::start().await;
    let id = sandbox.create("dev").await.id;
    let vm = sandbox.act("dev", "kill").await.unwrap().unwrap();
    assert_eq!(sandbox.directories(), [sandbox.paths.vm(id.as_str())]);
    assert_eq!(sandbox.processes(), []);
    assert_eq!((vm.state, vm.pid, vm.last_error), (VmState::Stopped, None, None));
    assert_eq!(sandbox.why(EventKind::VmState).as_deref(), Some("it was killed"));
}

#[tokio::test]
async fn a_silent_guest_is_stopped_by_force_when_its_grace_is_over() {
    let sandbox = Sandbox::start().await;
    sandbox.create("dev").await;
    sandbox.vmms.silence_guests(true);
    let begun = sandbox.begin("/v1/vms/dev/stop", json!({ "grace_secs": 1 })).await.unwrap();
    let ended = sandbox.finish(begun).await.unwrap();
    let took: u64 = ended.stages.iter().filter_map(|stage| stage.took_ms).sum();
    assert_eq!(ended.stages.last().unwrap().detail, "the guest did not stop by itself");
    assert!((1000..4000).contains(&took), "{took} ms");
    let vm = sandbox.vm("dev").await.unwrap();
    let why = "its guest did not stop by itself and was ended";
    assert_eq!((vm.state, vm.last_error.as_deref()), (VmState::Stopped, Some(why)));
    assert_eq!(sandbox.why(EventKind::VmState).as_deref(), Some(why));
    assert_eq!(sandbox.processes(), []);
}

#[tokio::test]
async fn a_restart_gives_another_machine() {
    let sandbox = Sandbox::start().await;
    let before = sandbox.create("dev").await;
    let after = sandbox.act("dev", "restart").await.unwrap().unwrap();
    assert_eq!((after.state, &after.id), (VmState::Running, &before.id));
    assert_ne!(after.pid, before.pid);
    assert_eq!(sandbox.processes().len(), 1);
    // The end of the first machine is not mistaken for the second's.
    let (output, _) = sandbox.exec("dev", &[b"echo", b"up"]).await;
    assert_eq!(output, b"up\n");
    assert_eq!(sandbox.vm("dev").await.unwrap(), after);
}

#[tokio::test]
async fn a_restart_of_a_stopped_vm_starts_it() {
    let sandbox = Sandbox::start().await;
    sandbox.create("dev").await;
    sandbox.act("dev", "stop").await.unwrap();
    assert_eq!(sandbox.act("dev", "restart").await.unwrap().unwrap().state, VmState::Running);
}

#[tokio::test]
async fn what_is_so_already_succeeds_and_says_so() {
    let sandbox = Sandbox::start().await;
    let running = sandbox.create("dev").await;
    let done = async |verb: &str, body: serde_json::Value| {
        let begun = sandbox.begin(&format!("/v1/vms/dev/{verb}"), body).await.unwrap();
        let ended = sandbox.finish(begun).await.unwrap();
        (ended.was_already, ended.notes)
    };
    let already = |sentence: &str| (true, vec![sentence.to_owned()]);
    assert_eq!(done("start", json!({})).await, already("VM `dev` is already running"));
    assert_eq!(done("start", json!({ "wait": "system" })).await, already("VM `dev` is already running"));
    assert_eq!(sandbox.vm("dev").await.unwrap(), running);
    assert_eq!(done("stop", json!({})).await, (false, Vec::new()));
    for verb in ["stop", "kill"] {
        assert_eq!(done(verb, json!({})).await, already("VM `dev` is not running"));
    }
    assert_eq!(sandbox.vm("dev").await.unwrap().state, VmState::Stopped);
    // A signal that nobody got is another matter.
    let begun = sandbox.begin("/v1/vms/dev/kill", json!({ "signal": "TERM" })).await.unwrap();
    assert_eq!(sandbox.finish(begun).await.unwrap_err().code, ErrorCode::NotRunning);
}

#[tokio::test]
async fn two_who_want_the_same_at_once_both_get_it() {
    let sandbox = Sandbox::start().await;
    sandbox.create("dev").await;
    for (verb, state) in [("stop", VmState::Stopped), ("start", VmState::Running), ("kill", VmState::Stopped)]
    {
        let (one, other) = (sandbox.begin_act("dev", verb).await, sandbox.begin_act("dev", verb).await);
        let (one, other) = tokio::join!(sandbox.finish(one), sandbox.finish(other));
        let (one, other) = (one.unwrap(), other.unwrap());
        assert!(!(one.was_already && other.was_already), "nobody did the {verb}");
        assert_eq!(sandbox.vm("dev").await.unwrap().state, state);
    }
}

#[tokio::test]
async fn a_stop_during_a_start_waits_for_it() {
    let sandbox = Sandbox::start().await;
    sandbox.behaviour().connect.close();
    let starting = sandbox.begin_create("dev").await;
    sandbox.behaviour().connect.reached(1).await;
    let stopping = sandbox.begin_act("dev", "stop").await;
    let waiting = sandbox.client.operation(&stopping.id, stopping.revision).await.unwrap();
    assert_eq!(waiting.stages[0].name, "wait for another command");
    sandbox.behaviour().connect.open();
    sandbox.finish(starting).await.unwrap();
    sandbox.finish(stopping).await.unwrap();
    assert_eq!(sandbox.vm("dev").await.unwrap().state, VmState::Stopped);
    assert_eq!(sandbox.processes(), []);
}

#[tokio::test]
async fn a_machine_that_is_killed_from_outside_leaves_a_stopped_vm_with_a_reason() {
    let sandbox = Sandbox::start().await;
    let id = sandbox.create("dev").await.id;
    kill(sandbox.processes()[0]);
    let vm = sandbox.wait_for("dev", |vm| vm.state == VmState::Stopped).await;
    assert_eq!(vm.last_error.as_deref(), Some("its VMM was killed from outside, by signal 9"));
    assert_eq!(vm.pid, None);
    assert!(!sandbox.paths.vm_sockets(id.as_str()).exists());
    assert_eq!(sandbox.act("dev", "start").await.unwrap().unwrap().last_error, None);
}

#[tokio::test]
async fn a_vm_is_deleted_in_every_state() {
    let sandbox = Sandbox::impatient().await;
    let begun = sandbox.begin("/v1/vms", json!({ "name": "created", "no_start": true })).await.unwrap();
    sandbox.finish(begun).await.unwrap();
    sandbox.create("running").await;
    sandbox.create("stopped").await;
    sandbox.act("stopped", "kill").await.unwrap();
    sandbox.vmms.silence_guests(true);
    sandbox.try_create("failed").await.unwrap_err();
    let states: Vec<_> = sandbox.vms().await.into_iter().map(|vm| vm.state).collect();
    assert_eq!(states, [VmState::Created, VmState::Running, VmState::Stopped, VmState::Failed]);
    for name in ["created", "running", "stopped", "failed"] {
        assert_eq!(sandbox.act(name, "delete").await, Ok(None));
        assert!(sandbox.vm(name).await.is_none());
    }
    sandbox.nothing_is_left().await;
}

#[tokio::test]
async fn ssh_gets_a_key_and_a_known_host() {
    let sandbox = Sandbox::start().await;
    let id = sandbox.create("dev").await.id;
    let access: banger_api::SshAccess = sandbox.client.get("/v1/vms/dev/ssh").await.unwrap();
    assert!(access.known_host.starts_with(&format!("{id}.banger ssh-ed25519 ")), "{access:?}");
    assert_eq!(access.host_key_alias, format!("{id}.banger"));
    assert!(access.private_key.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----\n"));
    assert!(!format!("{access:?}").contains("PRIVATE"), "it is not for logs");
}

/// B36 and B37 of the original: host keys were not checked, and outlived their VMs.
#[tokio::test]
async fn a_new_vm_of_the_same_name_has_a_host_key_of_its_own_and_nothing_is_left_of_the_older_one() {
    let sandbox = Sandbox::start().await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        sandbox.create("dev").await;
        let access: banger_api::SshAccess = sandbox.client.get("/v1/vms/dev/ssh").await.unwrap();
        let (alias, key) = access.known_host.split_once(' ').unwrap();
        assert_eq!(alias, access.host_key_alias);
        assert!(key.starts_with("ssh-ed25519 "), "{key}");
        seen.push((access.host_key_alias.clone(), key.to_owned()));
        sandbox.act("dev", "delete").await.unwrap();
    }
    assert_ne!(seen[0].0, seen[1].0);
    assert_ne!(seen[0].1, seen[1].1);
}
