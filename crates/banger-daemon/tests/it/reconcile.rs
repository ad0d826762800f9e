//! The next daemon puts right what a dead one left.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;

use banger_model::{Hint, VmEvent, VmState};
use banger_store::{Pending, VmRow};
use serde_json::json;

use crate::fake_vmms::kill;
use crate::gate::PATIENCE;
use crate::sandbox::Sandbox;

/// Changes a row while no daemon runs.
fn change(sandbox: &Sandbox, name: &str, change: impl FnOnce(&mut VmRow)) {
    let store = sandbox.store();
    let rows = store.list_vms().unwrap();
    let mut row = rows.iter().find(|row| row.name.as_str() == name).unwrap().clone();
    change(&mut row);
    store.update_vm(&row, None).unwrap();
}

#[tokio::test]
async fn running_machines_are_taken_over_and_go_on() {
    let mut sandbox = Sandbox::start().await;
    let before = sandbox.create("dev").await;
    sandbox.crash_daemon();
    let report = sandbox.start_daemon().await;
    assert_eq!((report.adopted, report.ended, report.finished, report.orphans), (1, 0, 0, 0));
    assert_eq!(sandbox.vm("dev").await.unwrap(), before);
    let (output, _) = sandbox.exec("dev", &[b"echo", b"still here"]).await;
    assert_eq!(output, b"still here\n");
    // It is watched as any other, and can be stopped and started.
    kill(sandbox.processes()[0]);
    let vm = sandbox.wait_for("dev", |vm| vm.state == VmState::Stopped).await;
    assert_eq!(
        vm.last_error.as_deref(),
        Some("its VMM ended without a message: it was killed, or it crashed")
    );
    sandbox.act("dev", "start").await.unwrap();
    sandbox.act("dev", "delete").await.unwrap();
    sandbox.nothing_is_left().await;
}

/// As at a user's last logout, when the runtime directory is removed, and at the next login.
#[tokio::test]
async fn a_vm_outlives_the_runtime_directory() {
    let mut sandbox = Sandbox::start().await;
    let before = sandbox.create("dev").await;
    std::fs::remove_dir_all(&sandbox.paths.runtime).unwrap();
    sandbox.crash_daemon();
    assert_eq!(sandbox.start_daemon().await.adopted, 1);
    assert_eq!(sandbox.vm("dev").await.unwrap(), before);
    let (output, _) = sandbox.exec("dev", &[b"echo", b"still here"]).await;
    assert_eq!(output, b"still here\n");
    sandbox.act("dev", "delete").await.unwrap();
    sandbox.nothing_is_left().await;
}

/// Older versions kept the sockets in the runtime directory.
#[tokio::test]
async fn a_machine_of_an_older_version_is_taken_over_with_its_sockets() {
    let mut sandbox = Sandbox::start().await;
    let vm = sandbox.create("dev").await;
    sandbox.crash_daemon();
    let (now, before) = (sandbox.paths.vm_sockets(vm.id.as_str()), sandbox.paths.vm_runtime(vm.id.as_str()));
    std::fs::create_dir_all(before.parent().unwrap()).unwrap();
    std::fs::rename(&now, &before).unwrap();
    let handle = sandbox.paths.vm(vm.id.as_str()).join("machine.json");
    let text = std::fs::read_to_string(&handle).unwrap();
    std::fs::write(&handle, text.replace(now.to_str().unwrap(), before.to_str().unwrap())).unwrap();
    assert_eq!(sandbox.start_daemon().await.adopted, 1);
    let (output, _) = sandbox.exec("dev", &[b"echo", b"still here"]).await;
    assert_eq!(output, b"still here\n");
    sandbox.act("dev", "stop").await.unwrap();
    assert!(!before.exists());
}

#[tokio::test]
async fn a_machine_that_ended_meanwhile_leaves_a_stopped_vm() {
    let mut sandbox = Sandbox::start().await;
    let id = sandbox.create("dev").await.id;
    sandbox.crash_daemon();
    kill(sandbox.processes()[0]);
    sandbox.no_process_is_left().await;
    assert_eq!(sandbox.start_daemon().await.ended, 1);
    let vm = sandbox.vm("dev").await.unwrap();
    assert_eq!(vm.state, VmState::Stopped);
    let why = "its VMM ended without a message: it was killed, or it crashed (while the daemon was away)";
    assert_eq!(vm.last_error.as_deref(), Some(why));
    assert_eq!(sandbox.directories(), [sandbox.paths.vm(id.as_str())]);
}

#[tokio::test]
async fn a_half_made_vm_is_undone_with_and_without_its_machine() {
    let mut sandbox = Sandbox::start().await;
    sandbox.create("with").await;
    sandbox
        .finish(sandbox.begin("/v1/vms", json!({ "name": "without", "no_start": true })).await.unwrap())
        .await
        .unwrap();
    sandbox.crash_daemon();
    change(&sandbox, "with", |row| {
        row.pending = Some(Pending::Create);
        row.state = VmState::Starting;
    });
    change(&sandbox, "without", |row| row.pending = Some(Pending::Create));
    let report = sandbox.start_daemon().await;
    assert_eq!((report.finished, report.orphans), (2, 0));
    sandbox.nothing_is_left().await;
}

#[tokio::test]
async fn a_create_that_the_daemon_did_not_survive_is_undone() {
    for phase in 0..3 {
        let mut sandbox = Sandbox::start().await;
        let gate = match phase {
            0 => &sandbox.source.disks,
            1 => &sandbox.behaviour().launch,
            _ => &sandbox.behaviour().connect,
        };
        gate.close();
        sandbox.begin_create("dev").await;
        gate.reached(1).await;
        sandbox.crash_daemon();
        sandbox.source.disks.open();
        sandbox.behaviour().launch.open();
        sandbox.behaviour().connect.open();
        assert_eq!(sandbox.start_daemon().await.finished, 1);
        sandbox.nothing_is_left().await;
    }
}

#[tokio::test]
async fn a_half_removed_vm_is_removed_with_its_machine() {
    let mut sandbox = Sandbox::start().await;
    sandbox.create("dev").await;
    sandbox.crash_daemon();
    change(&sandbox, "dev", |row| row.pending = Some(Pending::Delete));
    assert_eq!(sandbox.start_daemon().await.finished, 1);
    sandbox.nothing_is_left().await;
}

#[tokio::test]
async fn a_start_in_its_middle_is_failed_and_a_stop_is_finished() {
    let mut sandbox = Sandbox::start().await;
    for name in ["starting", "starting-dead", "stopping"] {
        sandbox.create(name).await;
    }
    sandbox.act("starting-dead", "kill").await.unwrap();
    sandbox.crash_daemon();
    change(&sandbox, "starting", |row| row.state = VmState::Starting);
    change(&sandbox, "starting-dead", |row| row.state = row.state.after(VmEvent::BootStarted).unwrap());
    change(&sandbox, "stopping", |row| row.state = VmState::Stopping);
    assert_eq!(sandbox.start_daemon().await.ended, 3);
    sandbox.no_process_is_left().await;
    let states: Vec<_> =
        sandbox.vms().await.into_iter().map(|vm| (vm.state, vm.last_error.is_some())).collect();
    assert_eq!(states, [(VmState::Failed, true), (VmState::Failed, true), (VmState::Stopped, false)]);
    for name in ["starting", "starting-dead", "stopping"] {
        assert_eq!(sandbox.act(name, "start").await.unwrap().unwrap().state, VmState::Running);
    }
}

#[tokio::test]
async fn directories_without_a_row_are_removed() {
    let mut sandbox = Sandbox::start().await;
    sandbox.create("dev").await;
    sandbox.crash_daemon();
    for parent in [sandbox.paths.vm("ffffffffffffffff"), sandbox.paths.vm_runtime("eeeeeeeeeeeeeeee")] {
        std::fs::create_dir_all(&parent).unwrap();
        std::fs::write(parent.join("file"), "x").unwrap();
    }
    assert_eq!(sandbox.start_daemon().await.orphans, 2);
    assert_eq!(sandbox.directories().len(), 1);
    assert_eq!(sandbox.vm("dev").await.unwrap().state, VmState::Running);
}

/// A database that was lost, or an older copy of it, does not know the VMs of today.
#[tokio::test]
async fn disks_and_machines_of_a_vm_that_the_database_does_not_know_are_kept_until_it_is_back() {
    let mut sandbox = Sandbox::start().await;
    let id = sandbox.create("dev").await.id;
    let disk = sandbox.paths.vm(id.as_str()).join("work.ext4");
    std::fs::write(&disk, "precious").unwrap();
    sandbox.crash_daemon();
    let database = |name: &str| sandbox.paths.state.join(name);
    let names = ["banger.db", "banger.db-wal", "banger.db-shm"];
    let away = |name: &str| database(&format!("away-{name}"));
    for name in names.into_iter().filter(|name| database(name).exists()) {
        std::fs::rename(database(name), away(name)).unwrap();
    }
    assert_eq!(sandbox.start_daemon().await.orphans, 0);
    assert!(sandbox.vms().await.is_empty());
    assert_eq!(sandbox.processes().len(), 1);
    let report: banger_api::DoctorReport = sandbox.client.get("/v1/doctor").await.unwrap();
    let store = report.checks.iter().find(|check| check.name == "store").unwrap();
    assert!(store.fix.is_some() && store.detail.contains(id.as_str()), "{store:?}");
    sandbox.crash_daemon();
    for name in names {
        let _ = std::fs::remove_file(sandbox.paths.state.join(name));
        let away = sandbox.paths.state.join(format!("away-{name}"));
        if away.exists() {
            std::fs::rename(away, sandbox.paths.state.join(name)).unwrap();
        }
    }
    assert_eq!(sandbox.start_daemon().await.adopted, 1);
    assert_eq!(sandbox.vm("dev").await.unwrap().state, VmState::Running);
    assert_eq!(std::fs::read_to_string(disk).unwrap(), "precious");
}

#[tokio::test]
async fn a_process_that_nobody_holds_does_not_outlive_the_disks_of_its_vm() {
    let sandbox = Sandbox::start().await;
    let [ours, other] = [sandbox.create("dev").await, sandbox.create("other").await];
    for name in ["dev", "other"] {
        sandbox.act(name, "stop").await.unwrap();
    }
    let started = |id: &str| {
        let mut command = tokio::process::Command::new("sh");
        let command = command.args(["-c", "read line"]).arg(sandbox.paths.vm(id)).stdin(Stdio::piped());
        command.kill_on_drop(true).spawn().unwrap()
    };
    let (mut stray, mut bystander) = (started(ours.id.as_str()), started(other.id.as_str()));
    sandbox.act("dev", "delete").await.unwrap();
    // It would read for ever.
    let ended = tokio::time::timeout(PATIENCE, stray.wait()).await.expect("it goes on").unwrap();
    assert_eq!(ended.signal(), Some(9));
    assert_eq!(bystander.try_wait().unwrap(), None);
}

#[tokio::test]
async fn one_vm_in_trouble_does_not_stop_the_rest() {
    let mut sandbox = Sandbox::start().await;
    let handle = |id: &str| sandbox.paths.vm(id).join("machine.json");
    let torn = sandbox.create("torn").await;
    let newer = sandbox.create("newer").await;
    let lost = sandbox.create("lost").await;
    sandbox.create("well").await;
    std::fs::write(handle(torn.id.as_str()), "{\"format_ver").unwrap();
    let text = std::fs::read_to_string(handle(newer.id.as_str())).unwrap();
    let text = text.replace("\"format_version\": 1", "\"format_version\": 99");
    std::fs::write(handle(newer.id.as_str()), text).unwrap();
    std::fs::remove_file(handle(lost.id.as_str())).unwrap();
    sandbox.crash_daemon();
    let report = sandbox.start_daemon().await;
    assert_eq!((report.adopted, report.ended, report.orphans), (1, 3, 3));
    let vms = sandbox.vms().await;
    let state = |name: &str| vms.iter().find(|vm| vm.name.as_str() == name).unwrap().state;
    assert_eq!(state("well"), VmState::Running);
    for (name, told) in [("torn", "does not describe a machine"), ("newer", "format 99"), ("lost", "ended")] {
        assert_eq!(state(name), VmState::Stopped);
        let vm = sandbox.vm(name).await.unwrap();
        assert!(vm.last_error.as_ref().unwrap().contains(told), "{vm:?}");
    }
    // Their machines ended, too: nothing runs that nobody can end.
    assert_eq!(sandbox.processes().len(), 1);
    for name in ["torn", "newer", "lost"] {
        assert_eq!(sandbox.act(name, "start").await.unwrap().unwrap().state, VmState::Running);
    }
}

#[tokio::test]
async fn a_vm_whose_removal_did_not_end_is_no_use_but_to_be_deleted() {
    let sandbox = Sandbox::start().await;
    sandbox.create("dev").await;
    sandbox.act("dev", "kill").await.unwrap();
    change(&sandbox, "dev", |row| row.pending = Some(Pending::Delete));
    for verb in ["start", "stop", "restart"] {
        let error = sandbox.begin(&format!("/v1/vms/dev/{verb}"), json!({})).await.unwrap_err();
        assert_eq!(error.message, "VM `dev` is being deleted");
        assert_eq!(error.hint, Some(Hint::DeleteVm { vm: "dev".to_owned() }));
    }
    sandbox.act("dev", "delete").await.unwrap();
    sandbox.nothing_is_left().await;
}

#[tokio::test]
async fn a_copy_of_a_state_directory_leaves_the_machines_of_the_original_alone() {
    let original = Sandbox::start().await;
    let vm = original.create("dev").await;
    let place = tempfile::tempdir().unwrap();
    let home = place.path().join("copy");
    let state_home = original.paths.state.parent().unwrap();
    let copied = std::process::Command::new("cp").arg("-a").arg(state_home).arg(&home).status().unwrap();
    assert!(copied.success());
    let mut copy = Sandbox::at(&home, crate::gate::PATIENCE);
    assert_eq!(copy.start_daemon().await.adopted, 0);
    let told = copy.vm("dev").await.unwrap();
    let directory = original.paths.vm(vm.id.as_str());
    let reason = format!("its machine runs for `{}`, of which this is a copy", directory.display());
    assert_eq!((told.state, told.pid, told.last_error), (VmState::Stopped, None, Some(reason)));
    // Both live their own lives from here on.
    copy.act("dev", "start").await.unwrap();
    copy.act("dev", "stop").await.unwrap();
    copy.act("dev", "delete").await.unwrap();
    let (output, _) = original.exec("dev", &[b"echo", b"up"]).await;
    assert_eq!(output, b"up\n");
    assert_eq!(original.vm("dev").await.unwrap(), vm);
}
