//! The host's disk is full: what takes room is refused, what makes room works, and a guest that stands still goes on.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use banger_api::{ErrorCode, OperationView};
use banger_model::{DiskFloor, DiskTrouble, EventKind, Hint, PauseReason, VmState};
use banger_vmm::WriteFailure;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use serde_json::json;

use crate::gate::PATIENCE;
use crate::sandbox::Sandbox;

/// More than any disk has free.
const NO_ROOM: DiskFloor = DiskFloor::Bytes(1 << 60);

/// Runs `act` in a home that is a file system of its own, as far as this user may mount one.
#[expect(unsafe_code, reason = "a thread's mounts are its own only after unshare(2)")]
fn on_a_small_disk(options: &str, act: impl AsyncFnOnce(&Path) + Send) {
    let home = tempfile::tempdir().unwrap();
    let (path, options) = (home.path(), std::ffi::CString::new(options).unwrap());
    let mounted = || {
        // SAFETY: nothing here relies on sharing its file system or descriptors with other threads.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS) }?;
        mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)?;
        mount("tmpfs", path, "tmpfs", MountFlags::empty(), options.as_c_str())
    };
    std::thread::scope(|scope| {
        let on_it = scope.spawn(|| match mounted() {
            Ok(()) => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(act(path));
            }
            Err(errno) => eprintln!("skipped: no file system can be mounted here: {errno}"),
        });
        on_it.join().unwrap();
    });
}

/// Takes every byte that is left.
fn fill(disk: &Path) {
    let mut thief = File::options().create(true).append(true).open(disk.join("thief")).unwrap();
    for size in [1 << 16, 4096] {
        let block = vec![7_u8; size];
        let full = loop {
            if let Err(error) = thief.write_all(&block) {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::StorageFull);
    }
}

fn kinds(sandbox: &Sandbox) -> Vec<EventKind> {
    sandbox.store().events(0, 1000).unwrap().into_iter().map(|row| row.event.kind).collect()
}

async fn wait_for_event(sandbox: &Sandbox, kind: EventKind) {
    let told = async {
        while !kinds(sandbox).contains(&kind) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, told).await.expect("nobody tells it");
}

/// A sandbox with a VM `dev` that runs, and a daemon that sees no room.
async fn without_room() -> Sandbox {
    let mut sandbox = Sandbox::start().await;
    sandbox.create("dev").await;
    sandbox.crash_daemon();
    sandbox.disk_floor = NO_ROOM;
    sandbox.start_daemon().await;
    sandbox
}

#[tokio::test]
async fn what_takes_room_is_refused_below_the_floor_in_one_sentence() {
    let sandbox = without_room().await;
    let told = |error: banger_api::ErrorBody| {
        assert_eq!(error.code, ErrorCode::OperationFailed);
        assert_eq!(error.hint, Some(Hint::FreeSpace));
        let path = sandbox.paths.vms().display().to_string();
        assert!(error.message.starts_with(&format!("the disk of `{path}` has ")), "{error:?}");
        assert!(error.message.ends_with(" free, and 1048576.0T must stay free"), "{error:?}");
    };
    told(sandbox.begin("/v1/vms", json!({ "name": "more" })).await.unwrap_err());
    // One that could not be started again is not stopped.
    told(sandbox.act("dev", "restart").await.unwrap_err());
    assert_eq!(sandbox.vm("dev").await.unwrap().state, VmState::Running);
    sandbox.act("dev", "stop").await.unwrap();
    told(sandbox.act("dev", "start").await.unwrap_err());
    assert_eq!(sandbox.vm("dev").await.unwrap().state, VmState::Stopped);
    sandbox.act("dev", "delete").await.unwrap();
    sandbox.nothing_is_left().await;
}

#[tokio::test]
async fn a_reboot_that_finds_no_room_is_told_and_not_awaited_for_ever() {
    let sandbox = without_room().await;
    sandbox.guest("dev").await.shutdown(true, PATIENCE, PATIENCE).await.unwrap();
    let vm = sandbox.wait_for("dev", |vm| vm.state == VmState::Failed).await;
    assert_eq!(vm.pending, None);
    assert!(vm.last_error.unwrap().contains("must stay free"));
}

#[tokio::test]
async fn the_next_daemon_sees_at_once_that_a_guest_stands_still() {
    let mut sandbox = without_room().await;
    sandbox.crash_daemon();
    sandbox.vmms.stand_still(WriteFailure::NoSpace);
    sandbox.start_daemon().await;
    let vm = sandbox.vm("dev").await.unwrap();
    assert_eq!((vm.state, vm.paused), (VmState::Running, Some(PauseReason::HostDiskFull)));
    assert!(kinds(&sandbox).contains(&EventKind::VmPaused));
}

#[tokio::test]
async fn a_guest_that_stands_still_is_paused_and_goes_on_by_itself_when_there_is_room() {
    let mut sandbox = without_room().await;
    sandbox.vmms.stand_still(WriteFailure::NoSpace);
    let vm = sandbox.wait_for("dev", |vm| vm.paused.is_some()).await;
    assert_eq!((vm.state, vm.paused), (VmState::Running, Some(PauseReason::HostDiskFull)));
    assert!(!vm.is_unresponsive);
    let path = format!("/v1/vms/dev/channel?port={}", banger_agent_proto::CONTROL_PORT);
    let refused = crate::sandbox::refused(sandbox.client.upgrade(&path, PATIENCE).await.unwrap_err());
    assert_eq!(
        refused.message,
        "the guest of VM `dev` is paused (host disk full); it resumes when the disk accepts writes"
    );
    assert_eq!(refused.hint, Some(Hint::FreeSpace));
    // The next daemon finds it as this one did, and sees the room.
    sandbox.crash_daemon();
    sandbox.disk_floor = DiskFloor::Bytes(0);
    sandbox.start_daemon().await;
    sandbox.wait_for("dev", |vm| vm.paused.is_none()).await;
    wait_for_event(&sandbox, EventKind::VmResumed).await;
    let (output, _) = sandbox.exec("dev", &[b"echo", b"up"]).await;
    assert_eq!(output, b"up\n");
    let told = kinds(&sandbox);
    assert!(told.contains(&EventKind::VmPaused), "{told:?}");
    assert!(!told.contains(&EventKind::VmUnresponsive), "{told:?}");
}

/// Firecracker does not pause a guest whose write meets a full disk.
#[tokio::test]
async fn a_guest_that_has_lost_writes_is_told_until_its_machine_ends() {
    let sandbox = Sandbox::start().await;
    sandbox.create("dev").await;
    assert_eq!(sandbox.vm("dev").await.unwrap().disk_trouble, None);
    sandbox.vmms.behaviour.disk.send_replace(Some(DiskTrouble::HostDiskFull));
    let vm = sandbox.vm("dev").await.unwrap();
    assert_eq!((vm.state, vm.disk_trouble), (VmState::Running, Some(DiskTrouble::HostDiskFull)));
    wait_for_event(&sandbox, EventKind::VmWritesFailed).await;
    let told = sandbox.store().events(0, 1000).unwrap().into_iter().map(|row| row.event.message);
    assert!(told.flatten().any(|message| message == DiskTrouble::HostDiskFull.to_string()));
    sandbox.act("dev", "stop").await.unwrap();
    assert_eq!(sandbox.vm("dev").await.unwrap().disk_trouble, None);
}

fn stages(ended: &OperationView) -> Vec<(&str, &str)> {
    ended.stages.iter().map(|stage| (stage.name.as_str(), stage.detail.as_str())).collect()
}

#[tokio::test]
async fn a_guest_that_stands_still_is_stopped_without_waiting_for_it() {
    let sandbox = without_room().await;
    sandbox.vmms.stand_still(WriteFailure::NoSpace);
    let begun = sandbox.begin_act("dev", "stop").await;
    let ended = sandbox.finish(begun).await.unwrap();
    assert_eq!(stages(&ended), [("end machine", "the guest is paused: host disk full")]);
    let vm = sandbox.vm("dev").await.unwrap();
    assert_eq!(vm.state, VmState::Stopped);
    assert_eq!(vm.last_error.as_deref(), Some("its guest was paused (host disk full) and was not shut down"));
}

/// A guest writes while it shuts down. The grace is longer than the test waits for anything.
#[tokio::test]
async fn a_guest_that_stands_still_during_its_stop_is_not_waited_for() {
    let sandbox = without_room().await;
    // It does not answer the question to shut down, so that it is surely there when it begins to stand still.
    sandbox.vmms.behaviour.connect.close();
    let begun = sandbox.begin("/v1/vms/dev/stop", json!({ "grace_secs": 300 })).await.unwrap();
    let followed = sandbox.client.follow(begun, |operation| {
        if operation.stages.iter().any(|stage| stage.name == "stop guest") {
            sandbox.vmms.stand_still(WriteFailure::NoSpace);
        }
    });
    let ended =
        tokio::time::timeout(PATIENCE, followed).await.expect("the stop waits for its guest").unwrap();
    let told = [("stop guest", ""), ("end machine", "the guest is paused: host disk full")];
    assert_eq!(stages(&ended), told);
    let vm = sandbox.vm("dev").await.unwrap();
    assert_eq!(vm.state, VmState::Stopped);
    assert_eq!(vm.last_error.as_deref(), Some("its guest was paused (host disk full) and was not shut down"));
}

#[tokio::test]
async fn a_guest_that_stands_still_while_it_boots_is_not_waited_for() {
    let sandbox = Sandbox::start().await;
    let kept =
        sandbox.finish(sandbox.begin("/v1/vms", json!({ "name": "kept", "no_start": true })).await.unwrap());
    kept.await.unwrap();
    for (failure, why, hint) in [
        (WriteFailure::NoSpace, "host disk full", Hint::FreeSpace),
        (WriteFailure::Other, "host disk error", Hint::ExamineHost),
    ] {
        sandbox.vmms.stand_still(failure);
        let error = sandbox.act("kept", "start").await.unwrap_err();
        assert_eq!(error.message, format!("VM `kept` did not start: its guest was paused ({why})"));
        assert_eq!(error.hint, Some(hint));
        let vm = sandbox.vm("kept").await.unwrap();
        assert_eq!((vm.state, vm.last_error), (VmState::Failed, Some(error.message)));
        let begun = sandbox.begin("/v1/vms", json!({ "name": "new" })).await.unwrap();
        let error = sandbox.finish(begun).await.unwrap_err();
        assert_eq!(error.message, format!("VM `new` did not start: its guest was paused ({why})"));
        assert!(sandbox.vm("new").await.is_none(), "its disks would keep the room");
    }
    sandbox.act("kept", "delete").await.unwrap();
    sandbox.nothing_is_left().await;
}

#[test]
fn a_start_and_a_create_on_a_full_disk_are_refused_without_a_floor_too() {
    on_a_small_disk("size=40M,mode=700", async |disk| {
        let mut sandbox = Sandbox::at(disk, PATIENCE);
        sandbox.start_daemon().await;
        sandbox.create("dev").await;
        sandbox.act("dev", "stop").await.unwrap();
        fill(disk);
        let told = |error: banger_api::ErrorBody| {
            assert_eq!(error.message, format!("the disk of `{}` is full", sandbox.paths.vms().display()));
            assert_eq!(error.hint, Some(Hint::FreeSpace));
        };
        told(sandbox.act("dev", "start").await.unwrap_err());
        told(sandbox.begin("/v1/vms", json!({ "name": "more" })).await.unwrap_err());
        sandbox.act("dev", "delete").await.unwrap();
        sandbox.nothing_is_left().await;
    });
}

#[test]
fn stop_kill_delete_and_the_next_daemon_work_on_a_disk_without_a_free_byte() {
    on_a_small_disk("size=40M,mode=700", async |disk| {
        let mut sandbox = Sandbox::at(disk, PATIENCE);
        sandbox.start_daemon().await;
        for name in ["stopped", "killed", "deleted", "later"] {
            sandbox.create(name).await;
        }
        fill(disk);
        assert_eq!(sandbox.act("stopped", "stop").await.unwrap().unwrap().state, VmState::Stopped);
        fill(disk);
        assert_eq!(sandbox.act("killed", "kill").await.unwrap().unwrap().state, VmState::Stopped);
        fill(disk);
        sandbox.act("deleted", "delete").await.unwrap();
        fill(disk);
        sandbox.crash_daemon();
        assert_eq!(sandbox.start_daemon().await.adopted, 1);
        fill(disk);
        sandbox.act("later", "stop").await.unwrap();
        for name in ["stopped", "killed", "later"] {
            sandbox.act(name, "delete").await.unwrap();
            fill(disk);
        }
        sandbox.nothing_is_left().await;
    });
}
