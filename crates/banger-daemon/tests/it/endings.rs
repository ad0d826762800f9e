//! A machine that ends by itself is told as what happened, and started again when its guest has rebooted.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use banger_api::{EndingView, PendingWork, VmView};
use banger_model::{EventKind, VmState};

use crate::fake_vmms::kill;
use crate::gate::PATIENCE;
use crate::sandbox::Sandbox;

/// The kernel's last word of a reboot.
const RESTART: &str = "reboot: Restarting system";

/// Lets a guest's kernel say something on its console.
fn say(sandbox: &Sandbox, vm: &VmView, line: &str) {
    let console = sandbox.paths.vm(vm.id.as_str()).join("console.log");
    let mut console = std::fs::OpenOptions::new().append(true).open(console).unwrap();
    writeln!(console, "[    9.123456] {line}\r").unwrap();
}

/// Lets a guest end its machine, as a VMM ends when the guest is done with it. Its agent tells which of the two it is.
async fn end_from_inside(sandbox: &Sandbox, vm: &VmView, word: &str) {
    let guest = sandbox.guest(vm.name.as_str()).await;
    say(sandbox, vm, word);
    guest.shutdown(word == RESTART, PATIENCE, PATIENCE).await.unwrap();
}

/// What stands in a guest for the unit that goes first when it shuts down.
fn up(sandbox: &Sandbox, vm: &VmView) -> PathBuf {
    sandbox.paths.vm_sockets(vm.id.as_str()).join("up")
}

/// Lets a guest begin to shut down, and returns when the daemon knows.
async fn begin_shutdown(sandbox: &Sandbox, vm: &VmView) {
    let said = sandbox.paths.vm(vm.id.as_str()).join("way-out");
    let begun = async {
        loop {
            std::fs::create_dir(up(sandbox, vm)).unwrap();
            // Nothing tells when the agent has seen it: one that is gone at once is not missed, and made again.
            tokio::time::sleep(Duration::from_millis(50)).await;
            std::fs::remove_dir(up(sandbox, vm)).unwrap();
            let heard = async {
                while !said.exists() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            if tokio::time::timeout(Duration::from_secs(5), heard).await.is_ok() {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, begun).await.expect("the daemon hears nothing");
    assert_eq!(std::fs::read_to_string(said).unwrap(), "unknown\n");
}

#[tokio::test]
async fn whoever_enters_a_machine_that_has_just_ended_is_told_of_its_vm() {
    let sandbox = Sandbox::start().await;
    let _ = sandbox.create("dev").await;
    sandbox.processes().into_iter().for_each(kill);
    let path = format!("/v1/vms/dev/channel?port={}", banger_agent_proto::CONTROL_PORT);
    match sandbox.client.upgrade(&path, PATIENCE).await {
        Err(error) => assert_eq!(crate::sandbox::refused(error).message, "VM `dev` is not running"),
        // The stream was faster than the kill, and ends with the machine.
        Ok(_) => drop(sandbox.wait_for("dev", |vm| vm.state != VmState::Running).await),
    }
}

async fn ending(sandbox: &Sandbox, vm: &VmView) -> EndingView {
    let path = format!("/v1/vms/{}/ending?boot_id={}", vm.id, vm.boot_id.as_deref().unwrap());
    sandbox.client.get::<Option<EndingView>>(&path).await.unwrap().expect("the daemon knows how it ended")
}

fn messages(sandbox: &Sandbox) -> Vec<(String, Option<String>)> {
    let events = sandbox.store().events(0, 1000).unwrap();
    let states = events.into_iter().filter(|row| row.event.kind == EventKind::VmState);
    states.map(|row| (row.event.value.unwrap(), row.event.message)).collect()
}

#[tokio::test]
async fn a_guest_that_reboots_is_started_again() {
    let sandbox = Sandbox::start().await;
    let before = sandbox.create("dev").await;
    end_from_inside(&sandbox, &before, RESTART).await;
    let expected = EndingView { why: "the guest rebooted".to_owned(), starts_again: true };
    assert_eq!(ending(&sandbox, &before).await, expected);
    let is_anew = |vm: &VmView| vm.state == VmState::Running && vm.pid != before.pid;
    let after = sandbox.wait_for("dev", is_anew).await;
    assert_eq!((&after.id, &after.last_error, after.pending), (&before.id, &None, None));
    let (output, _) = sandbox.exec("dev", &[b"echo", b"again"]).await;
    assert_eq!(output, b"again\n");
    let told = messages(&sandbox);
    let reboot = told.iter().position(|(_, message)| message.as_deref() == Some("the guest rebooted"));
    assert_eq!(told[reboot.unwrap()].0, "starting");
    assert_eq!(told[reboot.unwrap() + 1], ("running".to_owned(), None));
    sandbox.act("dev", "delete").await.unwrap();
    sandbox.nothing_is_left().await;
}

#[tokio::test]
async fn a_guest_that_switches_itself_off_is_no_error_and_one_that_panics_is() {
    let sandbox = Sandbox::start().await;
    for (name, word, why, is_error) in [
        ("off", "reboot: Power down", "the guest powered off", false),
        (
            "panic",
            "Kernel panic - not syncing: Fatal exception",
            "the guest's kernel panicked: Fatal exception",
            true,
        ),
        // A kernel without a console says nothing, and its guest has said it before.
        ("unseen", "hello", "the guest powered off", false),
    ] {
        let vm = sandbox.create(name).await;
        end_from_inside(&sandbox, &vm, word).await;
        assert_eq!(ending(&sandbox, &vm).await, EndingView { why: why.to_owned(), starts_again: false });
        let after = sandbox.wait_for(name, |vm| vm.state == VmState::Stopped).await;
        assert_eq!(after.last_error.as_deref(), is_error.then_some(why));
        assert!(messages(&sandbox).contains(&("stopped".to_owned(), Some(why.to_owned()))));
    }
}

#[tokio::test]
async fn a_reboot_that_only_the_agent_told_of_is_one() {
    let sandbox = Sandbox::start().await;
    let before = sandbox.create("dev").await;
    sandbox.guest("dev").await.shutdown(true, PATIENCE, PATIENCE).await.unwrap();
    let expected = EndingView { why: "the guest rebooted".to_owned(), starts_again: true };
    assert_eq!(ending(&sandbox, &before).await, expected);
    let is_anew = |vm: &VmView| vm.state == VmState::Running && vm.pid != before.pid;
    let after = sandbox.wait_for("dev", is_anew).await;
    // What the guest said is of the machine that has ended.
    assert!(!sandbox.paths.vm(after.id.as_str()).join("way-out").exists());
}

#[tokio::test]
async fn the_next_daemon_knows_what_a_guest_has_said() {
    let mut sandbox = Sandbox::start().await;
    let vm = sandbox.create("dev").await;
    sandbox.crash_daemon();
    std::fs::write(sandbox.paths.vm(vm.id.as_str()).join("way-out"), "poweroff\n").unwrap();
    kill(sandbox.processes()[0]);
    sandbox.no_process_is_left().await;
    sandbox.start_daemon().await;
    let vm = sandbox.vm("dev").await.unwrap();
    assert_eq!((vm.state, vm.last_error), (VmState::Stopped, None));
    let why = "the guest powered off (while the daemon was away)";
    assert!(messages(&sandbox).contains(&("stopped".to_owned(), Some(why.to_owned()))));
}

#[tokio::test]
async fn a_guest_that_shuts_down_is_entered_in_its_next_boot() {
    let sandbox = Sandbox::start().await;
    let vm = sandbox.create("dev").await;
    let guest = sandbox.guest("dev").await;
    begin_shutdown(&sandbox, &vm).await;
    let entering = sandbox.exec("dev", &[b"echo", b"again"]);
    tokio::pin!(entering);
    assert!(futures::poll!(&mut entering).is_pending());
    guest.shutdown(true, PATIENCE, PATIENCE).await.unwrap();
    assert_eq!(entering.await.0, b"again\n");
    assert_ne!(sandbox.vm("dev").await.unwrap().pid, vm.pid);
}

#[tokio::test]
async fn a_guest_that_is_about_to_reboot_is_shown_as_rebooting() {
    let mut sandbox = Sandbox::start().await;
    let vm = sandbox.create("dev").await;
    sandbox.crash_daemon();
    std::fs::write(sandbox.paths.vm(vm.id.as_str()).join("way-out"), "reboot\n").unwrap();
    sandbox.start_daemon().await;
    let now = sandbox.vm("dev").await.unwrap();
    assert_eq!((now.state, now.pending, now.pid), (VmState::Running, Some(PendingWork::Reboot), vm.pid));
}

#[tokio::test]
async fn a_guest_that_shuts_down_by_itself_is_shown_as_stopping() {
    let sandbox = Sandbox::start().await;
    let vm = sandbox.create("dev").await;
    let guest = sandbox.guest("dev").await;
    begin_shutdown(&sandbox, &vm).await;
    let now = sandbox.vm("dev").await.unwrap();
    assert_eq!((now.state, now.pid, now.is_unresponsive), (VmState::Stopping, vm.pid, false));
    std::fs::create_dir(up(&sandbox, &vm)).unwrap();
    sandbox.wait_for("dev", |vm| vm.state == VmState::Running).await;
    std::fs::remove_dir(up(&sandbox, &vm)).unwrap();
    guest.shutdown(false, PATIENCE, PATIENCE).await.unwrap();
    sandbox.wait_for("dev", |vm| vm.state == VmState::Stopped).await;
}

#[tokio::test]
async fn a_start_while_the_guest_shuts_down_waits_for_its_end() {
    let sandbox = Sandbox::start().await;
    let vm = sandbox.create("dev").await;
    let guest = sandbox.guest("dev").await;
    begin_shutdown(&sandbox, &vm).await;
    let starting = sandbox.begin_act("dev", "start").await;
    guest.shutdown(false, PATIENCE, PATIENCE).await.unwrap();
    let started = sandbox.finish(starting).await.unwrap();
    assert!(!started.was_already, "{started:?}");
    let now = sandbox.vm("dev").await.unwrap();
    assert_eq!(now.state, VmState::Running);
    assert_ne!(now.pid, vm.pid);
}

#[tokio::test]
async fn a_guest_that_stays_after_all_is_entered_again() {
    let sandbox = Sandbox::start().await;
    let vm = sandbox.create("dev").await;
    begin_shutdown(&sandbox, &vm).await;
    let entering = sandbox.guest("dev");
    tokio::pin!(entering);
    assert!(futures::poll!(&mut entering).is_pending());
    std::fs::create_dir(up(&sandbox, &vm)).unwrap();
    entering.await;
    assert!(!sandbox.paths.vm(vm.id.as_str()).join("way-out").exists());
    assert_eq!(sandbox.vm("dev").await.unwrap().pid, vm.pid);
}

#[tokio::test]
async fn a_halted_guest_leaves_a_stopped_vm() {
    let sandbox = Sandbox::start().await;
    let vm = sandbox.create("dev").await;
    say(&sandbox, &vm, "reboot: System halted");
    sandbox.vmms.silence_guests(true);
    let after = sandbox.wait_for("dev", |vm| vm.state == VmState::Stopped).await;
    assert_eq!(after.last_error, None);
    assert_eq!(ending(&sandbox, &vm).await.why, "the guest halted");
    sandbox.no_process_is_left().await;
}

#[tokio::test]
async fn what_a_vmm_said_is_told_when_it_gives_up() {
    let sandbox = Sandbox::start().await;
    let vm = sandbox.create("dev").await;
    let log = sandbox.paths.vm(vm.id.as_str()).join("vmm.log");
    std::fs::write(log, "hello\nKVM internal error. Suberror: 1\n").unwrap();
    // Its processor stands still; nothing ends by itself.
    sandbox.vmms.silence_guests(true);
    let after = sandbox.wait_for("dev", |vm| vm.state == VmState::Stopped).await;
    let why = "its virtual processor stopped: an internal error of KVM";
    assert!(after.last_error.as_deref().unwrap().starts_with(why), "{after:?}");
}

#[tokio::test]
async fn a_reboot_can_be_interrupted() {
    for verb in ["kill", "delete"] {
        let sandbox = Sandbox::start().await;
        let vm = sandbox.create("dev").await;
        sandbox.behaviour().launch.close();
        end_from_inside(&sandbox, &vm, RESTART).await;
        sandbox.behaviour().launch.reached(2).await;
        let rebooting = sandbox.vm("dev").await.unwrap();
        assert_eq!(rebooting.state, VmState::Starting);
        sandbox.act("dev", verb).await.unwrap();
        sandbox.behaviour().launch.open();
        if verb == "delete" {
            sandbox.nothing_is_left().await;
        } else {
            let vm = sandbox.vm("dev").await.unwrap();
            assert_eq!((vm.state, vm.pending, vm.last_error), (VmState::Stopped, None, None));
            sandbox.no_process_is_left().await;
        }
    }
}

#[tokio::test]
async fn a_stop_that_comes_during_a_reboot_wins() {
    let sandbox = Sandbox::start().await;
    let vm = sandbox.create("dev").await;
    sandbox.behaviour().launch.close();
    end_from_inside(&sandbox, &vm, RESTART).await;
    sandbox.behaviour().launch.reached(2).await;
    let stop = sandbox.begin_act("dev", "stop").await;
    sandbox.behaviour().launch.open();
    sandbox.finish(stop).await.unwrap();
    let vm = sandbox.vm("dev").await.unwrap();
    assert_eq!((vm.state, vm.pending, vm.last_error), (VmState::Stopped, None, None));
}

#[tokio::test]
async fn the_next_daemon_goes_on_with_a_reboot() {
    for crashes in [true, false] {
        let mut sandbox = Sandbox::start().await;
        let vm = sandbox.create("dev").await;
        sandbox.behaviour().launch.close();
        end_from_inside(&sandbox, &vm, RESTART).await;
        sandbox.behaviour().launch.reached(2).await;
        if crashes {
            sandbox.crash_daemon();
            sandbox.behaviour().launch.open();
        } else {
            sandbox.shut_down();
            sandbox.behaviour().launch.open();
            sandbox.daemon_ended().await;
        }
        sandbox.start_daemon().await;
        let again = sandbox.wait_for("dev", |vm| vm.state == VmState::Running).await;
        assert_eq!((again.pending, again.last_error), (None, None));
    }
}

#[tokio::test]
async fn what_guests_did_while_no_daemon_ran_is_found_out() {
    let mut sandbox = Sandbox::start().await;
    let words = [
        ("reboots", "reboot: Restarting system"),
        ("off", "reboot: Power down"),
        ("panics", "Kernel panic - not syncing: x"),
    ];
    for (name, word) in words {
        let vm = sandbox.create(name).await;
        say(&sandbox, &vm, word);
    }
    sandbox.crash_daemon();
    sandbox.processes().into_iter().for_each(kill);
    sandbox.no_process_is_left().await;
    sandbox.start_daemon().await;
    sandbox.wait_for("reboots", |vm| vm.state == VmState::Running).await;
    let off = sandbox.vm("off").await.unwrap();
    assert_eq!((off.state, off.last_error), (VmState::Stopped, None));
    let panicked = sandbox.vm("panics").await.unwrap();
    let why = "the guest's kernel panicked: x (while the daemon was away)";
    assert_eq!((panicked.state, panicked.last_error.as_deref()), (VmState::Stopped, Some(why)));
}
