//! Changes of a VM: sizes, time to live, signals, and removal only of what is stopped.

use std::time::Duration;

use banger_api::{ErrorCode, VmView};
use banger_model::{EventKind, VmState};
use serde_json::{Value, json};

use crate::sandbox::Sandbox;

async fn set(sandbox: &Sandbox, name: &str, change: Value) -> Result<VmView, banger_api::ErrorBody> {
    let begun = sandbox.begin(&format!("/v1/vms/{name}/set"), change).await?;
    let ended = sandbox.finish(begun).await?;
    Ok(serde_json::from_value(ended.result.unwrap()).unwrap())
}

#[tokio::test]
async fn new_sizes_hold_from_the_next_start_on_and_say_so() {
    let sandbox = Sandbox::start().await;
    let id = sandbox.create("dev").await.id;
    let vm = set(&sandbox, "dev", json!({ "vcpus": 3, "memory_mib": 768, "disk_bytes": 10_u64 << 30 }))
        .await
        .unwrap();
    assert_eq!((vm.vcpus.get(), vm.memory_mib.get(), vm.disk_bytes.get()), (3, 768, 10 << 30));
    assert!(vm.needs_restart);
    let disk = sandbox.paths.vm(id.as_str()).join("work.ext4");
    assert_eq!(std::fs::metadata(disk).unwrap().len(), 10 << 30);
    let vm = sandbox.act("dev", "restart").await.unwrap().unwrap();
    assert!(!vm.needs_restart);
    assert_eq!((vm.vcpus.get(), vm.disk_bytes.get()), (3, 10 << 30));
}

#[tokio::test]
async fn a_size_is_that_of_both_disks_unless_they_shall_differ() {
    let sandbox = Sandbox::start().await;
    let gib = |count: u64| count << 30;
    let body = json!({ "name": "dev", "disk_bytes": gib(20), "work_bytes": gib(9) });
    let created = sandbox.finish(sandbox.begin("/v1/vms", body).await.unwrap()).await.unwrap();
    let vm: VmView = serde_json::from_value(created.result.unwrap()).unwrap();
    assert_eq!((vm.overlay_bytes.get(), vm.disk_bytes.get(), vm.running), (gib(20), gib(9), None));
    let request = json!({ "disk_bytes": gib(30), "overlay_bytes": gib(40), "vcpus": 3 });
    let begun = sandbox.begin("/v1/vms/dev/set", request).await.unwrap();
    let ended = sandbox.finish(begun).await.unwrap();
    let note = "the new sizes of VM `dev` apply at its next start; restart to apply: banger vm restart dev";
    assert!(ended.notes.contains(&note.to_owned()), "{:?}", ended.notes);
    let set_vm: VmView = serde_json::from_value(ended.result.unwrap()).unwrap();
    assert_eq!((set_vm.overlay_bytes.get(), set_vm.disk_bytes.get()), (gib(40), gib(30)));
    let running = set_vm.running.expect("the machine has other sizes");
    assert_eq!((running.overlay_disk.get(), running.work_disk.get()), (gib(20), gib(9)));
    assert_eq!(running.vcpus, vm.vcpus);
    for (file, length) in [("overlay.ext4", gib(40)), ("work.ext4", gib(30))] {
        let disk = sandbox.paths.vm(vm.id.as_str()).join(file);
        assert_eq!(std::fs::metadata(disk).unwrap().len(), length, "{file}");
    }
    let error = set(&sandbox, "dev", json!({ "work_bytes": gib(10) })).await.unwrap_err();
    assert_eq!(error.message, "cannot shrink `/root` of VM `dev` from 30G to 10G");
    let vm = sandbox.act("dev", "restart").await.unwrap().unwrap();
    assert_eq!((vm.running, vm.needs_restart), (None, false));
}

#[tokio::test]
async fn sizes_that_are_set_back_need_no_restart_and_larger_ones_than_the_host_has_are_warned_of() {
    let sandbox = Sandbox::start().await;
    let vm = sandbox.create("dev").await;
    assert!(set(&sandbox, "dev", json!({ "vcpus": 3 })).await.unwrap().needs_restart);
    let before = json!({ "vcpus": vm.vcpus });
    assert!(!set(&sandbox, "dev", before).await.unwrap().needs_restart);
    let body = json!({ "name": "huge", "disk_bytes": 2_u64 << 40, "no_start": true });
    let created = sandbox.finish(sandbox.begin("/v1/vms", body).await.unwrap()).await.unwrap();
    let [warning] = created.warnings.as_slice() else { panic!("{:?}", created.warnings) };
    assert!(
        warning.starts_with("its disks can grow to 2T and 2T, but the host's disk has only "),
        "{warning}"
    );
}

#[tokio::test]
async fn a_change_that_makes_no_sense_changes_nothing() {
    let sandbox = Sandbox::start().await;
    let before = sandbox.create("dev").await;
    for (change, told) in [
        (json!({}), "nothing to change for VM `dev`"),
        (json!({ "disk_bytes": 1_u64 << 30 }), "cannot shrink `/` of VM `dev` from 8G to 1G"),
        (json!({ "vcpus": 0 }), "the number of processors must be between 1 and 32, not 0"),
        (json!({ "ttl_secs": 1 }), "the time to live must be between 10 seconds and 10 years, not 1 second"),
        (json!({ "colour": "red" }), "unknown field `colour`"),
    ] {
        let error = set(&sandbox, "dev", change).await.unwrap_err();
        let is_about_state = told.starts_with("cannot shrink");
        assert_eq!(error.code, if is_about_state { ErrorCode::Conflict } else { ErrorCode::BadRequest });
        assert!(error.message.contains(told), "{error:?}");
        assert!(error.op_id.is_some(), "what is refused has an id, too");
    }
    assert_eq!(sandbox.vm("dev").await.unwrap(), before);
}

#[tokio::test]
async fn a_time_to_live_ends_the_vm_and_a_touch_begins_it_anew() {
    let sandbox = Sandbox::start().await;
    sandbox.create("dev").await;
    let vm = set(&sandbox, "dev", json!({ "ttl_secs": 10 })).await.unwrap();
    let expires = |vm: &VmView| vm.expires_at.as_ref().unwrap().parse::<jiff::Timestamp>().unwrap();
    let first = expires(&vm);
    sandbox.act("dev", "touch").await.unwrap();
    assert!(expires(&sandbox.vm("dev").await.unwrap()) >= first);
    let vm = set(&sandbox, "dev", json!({ "ttl_secs": 0 })).await.unwrap();
    assert_eq!(vm.expires_at, None);
    // Its time passed while nobody looked.
    let store = sandbox.store();
    let mut row = store.list_vms().unwrap()[0].clone();
    row.ttl = banger_model::Ttl::try_from(10).ok();
    row.touched_at_ms = Some(row.created_at_ms - 60_000);
    row.created_at_ms -= 60_000;
    store.update_vm(&row, None).unwrap();
    sandbox.act("dev", "touch").await.unwrap();
    assert!(sandbox.vm("dev").await.is_some(), "a touch saves it");
    let mut row = store.list_vms().unwrap()[0].clone();
    row.touched_at_ms = Some(row.created_at_ms);
    store.update_vm(&row, None).unwrap();
    // Any change makes the keeper look again.
    drop(sandbox.guest("dev").await);
    sandbox.wait_until_gone("dev").await;
    assert_eq!(sandbox.why(EventKind::VmRemoved).as_deref(), Some("its time to live has passed"));
    sandbox.nothing_is_left().await;
}

#[tokio::test]
async fn a_vm_that_nobody_uses_is_stopped_and_one_in_use_is_not() {
    let mut sandbox = Sandbox::new(crate::gate::PATIENCE);
    sandbox.stale_after = Some(Duration::from_millis(300));
    sandbox.start_daemon().await;
    sandbox.create("used").await;
    let in_use = sandbox.guest("used").await;
    sandbox.create("idle").await;
    sandbox.wait_for("idle", |vm| vm.state == VmState::Stopped).await;
    assert_eq!(sandbox.vm("used").await.unwrap().state, VmState::Running);
    drop(in_use);
    let vm = sandbox.wait_for("used", |vm| vm.state == VmState::Stopped).await;
    assert_eq!(vm.last_error, None);
    let why = "it was not used for as long as `auto_stop_stale_after` allows";
    assert_eq!(sandbox.why(EventKind::VmState).as_deref(), Some(why));
}

#[tokio::test]
async fn a_body_that_is_no_object_changes_nothing() {
    let sandbox = Sandbox::start().await;
    sandbox.create("dev").await;
    for body in [Value::Null, json!([]), json!(["TERM"]), json!(""), json!(1)] {
        for path in ["/v1/vms", "/v1/vms/dev/kill", "/v1/vms/dev/delete", "/v1/images:pull"] {
            let error = sandbox.begin(path, body.clone()).await.unwrap_err();
            assert_eq!(error.code, ErrorCode::BadRequest, "{path}: {body}");
            assert!(error.message.contains("not a JSON object; send `{}`"), "{error:?}");
        }
    }
    assert_eq!(sandbox.vm("dev").await.unwrap().state, VmState::Running);
    let begun = sandbox.begin("/v1/vms/dev/delete", json!({})).await.unwrap();
    sandbox.finish(begun).await.unwrap();
    sandbox.nothing_is_left().await;
}

#[tokio::test]
async fn a_signal_that_ends_the_machine_leaves_a_stopped_vm_without_an_error() {
    let sandbox = Sandbox::start().await;
    sandbox.create("dev").await;
    let begun = sandbox.begin("/v1/vms/dev/kill", json!({ "signal": "TERM" })).await.unwrap();
    sandbox.finish(begun).await.unwrap();
    let vm = sandbox.vm("dev").await.unwrap();
    assert_eq!((vm.state, vm.last_error, vm.pid), (VmState::Stopped, None, None));
    let begun = sandbox.begin("/v1/vms/dev/kill", json!({ "signal": "TERM" })).await.unwrap();
    let error = sandbox.finish(begun).await.unwrap_err();
    let told = "VM `dev` is not running, so it was not sent `TERM`";
    assert_eq!((error.code, error.message.as_str()), (ErrorCode::NotRunning, told));
    let error = sandbox.begin("/v1/vms/dev/kill", json!({ "signal": "STOP" })).await.unwrap_err();
    assert!(error.message.contains("`signal`: unknown variant `STOP`"), "{error:?}");
}

#[tokio::test]
async fn what_shall_go_only_when_stopped_stays_when_it_runs_or_is_made() {
    let sandbox = Sandbox::start().await;
    let stopped_only = || json!({ "only_stopped": true });
    sandbox.create("runs").await;
    let error = sandbox.begin("/v1/vms/runs/delete", stopped_only()).await.unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (ErrorCode::Conflict, "VM `runs` is not stopped"));
    sandbox.source.disks.close();
    let made = sandbox.begin_create("made").await;
    sandbox.source.disks.reached(2).await;
    let error = sandbox.begin("/v1/vms/made/delete", stopped_only()).await.unwrap_err();
    assert_eq!(error.message, "VM `made` is not stopped");
    sandbox.source.disks.open();
    sandbox.finish(made).await.unwrap();
    // A start that comes first wins.
    sandbox.act("runs", "kill").await.unwrap();
    sandbox.behaviour().launch.close();
    let started = sandbox.begin_act("runs", "start").await;
    sandbox.behaviour().launch.reached(3).await;
    let error = sandbox.begin("/v1/vms/runs/delete", stopped_only()).await.unwrap_err();
    assert_eq!(error.message, "VM `runs` is not stopped");
    sandbox.behaviour().launch.open();
    sandbox.finish(started).await.unwrap();
    sandbox.act("runs", "kill").await.unwrap();
    let begun = sandbox.begin("/v1/vms/runs/delete", stopped_only()).await.unwrap();
    sandbox.finish(begun).await.unwrap();
    assert_eq!(sandbox.vms().await.len(), 1);
}
