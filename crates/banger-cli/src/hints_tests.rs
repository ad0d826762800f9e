//! The hints of all errors, side by side.

use banger_client::copy::CopyError;
use banger_client::{ClientError, EnsureError};
use banger_guest::AgentError;

use crate::absence::AwayError;
use crate::broken_stream::{BrokenStream, Purpose};
use crate::error::CliError;
use crate::ssh::SshError;

fn broken() -> serde_json::Error {
    serde_json::from_str::<u8>("x").unwrap_err()
}

/// Errors of a guest or a daemon that may only be busy, and all others that have a hint of their own.
fn with_hints() -> Vec<CliError> {
    let vm = || "dev".to_owned();
    let silent =
        || ClientError::Silent { path: "/v1/vms".into(), deadline: std::time::Duration::from_secs(10) };
    let agent_silent = AgentError::Silent { call: "hello", deadline: std::time::Duration::from_secs(5) };
    vec![
        silent().into(),
        ClientError::Unreadable { path: "/v1/vms".into(), source: broken() }.into(),
        EnsureError::Ask { source: silent() }.into(),
        EnsureError::Lost { pid: 7, socket: "/s".into() }.into(),
        EnsureError::Newer { daemon: "9".into() }.into(),
        EnsureError::AtWork { daemon: "0".into() }.into(),
        EnsureError::DoesNotEnd { pid: 7 }.into(),
        BrokenStream::VmStopped { vm: vm(), purpose: Purpose::Command }.into(),
        BrokenStream::DaemonGone { vm: vm(), purpose: Purpose::Command }.into(),
        BrokenStream::AgentGone { vm: vm(), purpose: Purpose::Copy }.into(),
        BrokenStream::AgentGone { vm: vm(), purpose: Purpose::Log }.into(),
        AwayError::new("dev", "12:03:05", CliError::told()).into(),
        agent_silent.into(),
        AgentError::NoExit.into(),
        AgentError::TooLong { call: "stats" }.into(),
        AgentError::Stalled { silence: std::time::Duration::from_secs(30) }.into(),
        AgentError::Outdated { call: "stats" }.into(),
        AgentError::VersionMismatch {
            host_version: "1".into(),
            ours: vec![1],
            agent_version: "2".into(),
            theirs: vec![2],
        }
        .into(),
        CopyError::SameVm { vm: vm() }.into(),
        SshError::NoServer { vm: vm() }.into(),
        SshError::NoForwarding { vm: vm(), option: "-L".into() }.into(),
        SshError::Missing.into(),
    ]
}

#[test]
fn no_hint_ends_the_work_of_a_guest_that_may_only_be_busy() {
    let hints: String =
        with_hints().iter().map(|error| error.hint().unwrap_or("-").to_owned() + "\n").collect();
    for destructive in ["vm kill", "vm delete", "vm restart", "vm stop"] {
        assert!(!hints.contains(destructive), "{hints}");
    }
    insta::assert_snapshot!(hints, @r"
    if this continues, stop the daemon; VMs keep running: banger daemon stop --force
    -
    stop it; VMs keep running: banger daemon stop --force
    stop it; VMs keep running: banger daemon stop --force
    use the newer banger, or stop its daemon: banger daemon stop
    wait until it is idle, or stop it now: banger daemon stop --force
    kill -9 7; VMs keep running without the daemon
    banger vm logs dev
    the VM is still running; enter it again with `banger vm exec dev`
    the VM is still running; run the copy again
    the VM is still running; see `banger vm show dev`
    it may be busy and come back; see `banger vm logs dev`
    the guest hangs or is very busy; see `banger vm logs`
    the VM may still be running; see `banger vm list`
    -
    the guest hangs or is very busy; see `banger vm list`
    restart the VM to update its agent
    pull the image again with `banger image pull --force`, then make a new VM
    banger vm exec dev -- cp -a <source> <destination>
    banger vm exec dev -- <command>
    use an image with an ssh server; `banger proxy dev <port>` connects stdin and stdout to one port
    sudo apt-get install openssh-client
    ");
}
