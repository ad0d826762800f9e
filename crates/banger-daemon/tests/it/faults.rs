//! Errors as they travel: code, one line, what to do next.

use std::io;
use std::time::Duration;

use banger_daemon::boot_source::BootSourceError;
use banger_daemon::fault::Fault as _;
use banger_daemon::operation::Cancelled;
use banger_daemon::vm::{Ending, GuestError, GuestFailure, VmError};
use banger_daemon::vmm_source::NoVmm;
use banger_guest::AgentError;
use banger_image::PullError;
use banger_model::{ArtifactKind, Denied, EndCause, Hint, VmName, VmRefError};
use banger_store::StoreError;
use banger_sys::files::FileError;
use banger_vmm::selection::ChoiceError;
use banger_vmm::{ConnectError, KillError, StartError};

fn name() -> VmName {
    "dev".parse().unwrap()
}

fn full() -> io::Error {
    io::Error::from(io::ErrorKind::StorageFull)
}

fn line(error: &VmError) -> String {
    let body = error.to_failure();
    let code = serde_json::to_value(body.code).unwrap();
    format!(
        "{} | {} | {}\n",
        code.as_str().unwrap(),
        body.message,
        body.hint.map_or_else(|| "-".to_owned(), |hint| serde_json::to_string(&hint).unwrap())
    )
}

#[test]
fn every_error_has_a_code_one_line_and_what_to_do_next() {
    let guest = |why| VmError::Guest(GuestError { name: name(), console: Vec::new(), why });
    let silent = || guest(GuestFailure::Silent { deadline: Duration::from_secs(90) });
    let denied = |action, source| VmError::Denied { action, name: name(), source };
    let launch = |source| VmError::Launch { name: name(), source };
    let unremoved = || VmError::Directory { action: "remove", path: "/vms/1".into(), source: full() };
    let undo = |first| VmError::Undo { first: Box::new(first), undo: vec![unremoved()] };
    let pull = |source| VmError::BootSource(BootSourceError::Pull(source));
    let errors = [
        VmError::Reference(VmRefError::Missing { typed: "x".into() }),
        VmError::Reference(VmRefError::Ambiguous {
            typed: "1".into(),
            names: vec![name(), "test".parse().unwrap()],
        }),
        VmError::Closed { name: name(), state: Denied::NotRunning },
        denied("stop", Denied::NotRunning),
        denied("start", Denied::AlreadyRunning),
        VmError::Closed { name: name(), state: Denied::IsStarting },
        VmError::BeingDeleted { name: name() },
        VmError::Store(StoreError::NameTaken { name: name() }),
        VmError::Vmm(NoVmm(ChoiceError::NoFirecracker)),
        pull(PullError::NotInCatalog { kind: ArtifactKind::Image, name: "x".to_owned() }),
        VmError::MakeDirectory(FileError::Write { path: "/d".into(), source: full() }),
        VmError::BootSource(BootSourceError::AgentMissing { path: "/bin/banger-agent".into() }),
        launch(StartError::Missing { program: "qemu-system-x86_64", package: "qemu-system-x86" }),
        launch(StartError::Refused { program: "qemu", stderr: "no KVM".to_owned() }),
        silent(),
        guest(GuestFailure::Ended(Ending::new(
            EndCause::Failed { status: 1 },
            Some("no such device".to_owned()),
        ))),
        guest(GuestFailure::Failed(AgentError::Outdated { call: "identify" })),
        guest(GuestFailure::Unreachable(ConnectError::Silent { deadline: Duration::from_secs(5) })),
        guest(GuestFailure::Unreachable(ConnectError::Channel(io::Error::from_raw_os_error(libc::EMFILE)))),
        guest(GuestFailure::NoAnswer(AgentError::Silent { call: "stats", deadline: Duration::from_secs(4) })),
        guest(GuestFailure::NoAnswer(AgentError::Outdated { call: "stats" })),
        guest(GuestFailure::NoAnswer(AgentError::TooLong { call: "stats" })),
        VmError::Kill {
            name: name(),
            source: KillError::StillAlive { pid: 7, deadline: Duration::from_secs(10) },
        },
        VmError::Cancelled(Cancelled::OnRequest),
        VmError::Cancelled(Cancelled::DaemonStopped),
        VmError::StartCancelled { why: Cancelled::OnRequest, name: name() },
        VmError::StartCancelled { why: Cancelled::DaemonStopped, name: name() },
        undo(silent()),
        undo(VmError::Cancelled(Cancelled::OnRequest)),
        undo(VmError::Cancelled(Cancelled::DaemonStopped)),
    ];
    for error in &errors {
        let hint = error.hint();
        // Only where the user has asked for that very thing already.
        let is_asked_for = matches!(error, VmError::BeingDeleted { .. });
        let is_destructive = matches!(hint, Some(Hint::DeleteVm { .. } | Hint::StopVm { .. }));
        assert!(!is_destructive || is_asked_for, "{error}: {hint:?}");
    }
    let table: String = errors.iter().map(line).collect();
    insta::assert_snapshot!(table, @r#"
    not_found | there is no VM `x` | {"action":"list_vms"}
    conflict | `1` matches several VMs: dev, test | {"action":"list_vms"}
    not_running | VM `dev` is not running | {"action":"start_vm","vm":"dev"}
    not_running | cannot stop VM `dev`: the VM is not running | {"action":"show_vm","vm":"dev"}
    conflict | cannot start VM `dev`: the VM is already running | {"action":"run_in_vm","vm":"dev"}
    not_running | VM `dev` is starting | {"action":"show_vm","vm":"dev"}
    not_running | VM `dev` is being deleted | {"action":"delete_vm","vm":"dev"}
    already_exists | a VM named `dev` already exists | {"action":"show_vm","vm":"dev"}
    operation_failed | no VMM can run a VM on this host: Firecracker is not installed | {"action":"set_up_firecracker"}
    not_found | the image `x` is neither local nor in the catalog | {"action":"list_known","kind":"image"}
    operation_failed | cannot write `/d`: the disk is full | {"action":"free_space"}
    operation_failed | the guest's agent `/bin/banger-agent` is missing; reinstall banger | -
    operation_failed | cannot start VM `dev`: the program `qemu-system-x86_64` is not installed | {"action":"install_package","package":"qemu-system-x86"}
    operation_failed | cannot start VM `dev`: `qemu` exited immediately: no KVM | {"action":"examine_host"}
    operation_failed | the guest of VM `dev` did not answer within 90 s | {"action":"read_vm_log","vm":"dev"}
    operation_failed | the guest of VM `dev` ended before it was ready (its VMM exited with status 1; its VMM said last: no such device) | {"action":"read_vm_log","vm":"dev"}
    operation_failed | the guest of VM `dev` did not become ready: the guest's agent is older than this banger and does not know `identify` | {"action":"read_vm_log","vm":"dev"}
    operation_failed | cannot reach the guest of VM `dev`: the guest did not answer within 5 s | {"action":"read_vm_log","vm":"dev"}
    operation_failed | cannot reach the guest of VM `dev`: the guest channel failed: Too many open files (os error 24) | {"action":"examine_host"}
    operation_failed | cannot query the guest of VM `dev`: the guest did not answer `stats` within 4 s | {"action":"read_vm_log","vm":"dev"}
    operation_failed | cannot query the guest of VM `dev`: the guest's agent is older than this banger and does not know `stats` | {"action":"update_agent","vm":"dev"}
    operation_failed | cannot query the guest of VM `dev`: the guest's answer to `stats` is too long | {"action":"read_vm_log","vm":"dev"}
    operation_failed | cannot force VM `dev` off: process 7 did not end within 10 s | {"action":"examine_host"}
    cancelled | cancelled; nothing is left behind | -
    cancelled | the daemon was stopped; nothing is left behind | {"action":"advice","text":"run the command again; it starts a new daemon"}
    cancelled | cancelled; VM `dev` is stopped | {"action":"start_vm","vm":"dev"}
    cancelled | the daemon was stopped; VM `dev` is stopped | {"action":"start_vm","vm":"dev"}
    operation_failed | the guest of VM `dev` did not answer within 90 s; something is left behind: cannot remove `/vms/1`: the disk is full | {"action":"read_vm_log","vm":"dev"}
    operation_failed | cancelled, but something is left behind: cannot remove `/vms/1`: the disk is full | -
    operation_failed | the daemon was stopped, but something is left behind: cannot remove `/vms/1`: the disk is full | {"action":"advice","text":"run the command again; it starts a new daemon"}
    "#);
}

#[test]
fn what_left_something_behind_is_not_called_cancelled() {
    let unremoved = VmError::Directory { action: "remove", path: "/vms/1".into(), source: full() };
    let error =
        VmError::Undo { first: Box::new(VmError::Cancelled(Cancelled::OnRequest)), undo: vec![unremoved] };
    assert_ne!(error.code(), banger_api::ErrorCode::Cancelled);
}
