//! `vm ports` and `vm stats`.

use std::process::Stdio;

use banger_api::ErrorCode;
use banger_model::VmState;
use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::daemon::{DEADLINE, error, vm};
use crate::program::{Stage, run, send, told};

/// Two VMs that run and one that does not.
fn stage_with_vms() -> Stage {
    let stage = Stage::new();
    let mut stopped = vm("old", 0xaa03);
    stopped.state = VmState::Stopped;
    stage.daemon.script(|script| script.vms = vec![vm("dev", 0xaa01), vm("test", 0xaa02), stopped]);
    stage
}

#[tokio::test]
async fn ports_of_all_that_run_are_listed_without_a_name() {
    let stage = stage_with_vms();
    let told = run(stage.banger(&["vm", "ports"])).await;
    assert_eq!((told.status, told.stderr.as_str()), (Some(0), ""));
    insta::assert_snapshot!(told.stdout, @r"
    VM    PROTO  ADDRESS  PORT  PROCESS  PID
    dev   tcp    0.0.0.0  22    systemd  1
    test  tcp    0.0.0.0  22    systemd  1
    ");
}

#[tokio::test]
async fn ports_are_told_in_the_order_typed_and_one_failure_is_one() {
    let stage = stage_with_vms();
    stage.daemon.script(|script| {
        let failure = error(ErrorCode::NotRunning, "VM `old` is not running");
        script.errors.insert("GET /v1/vms/000000000000aa03/ports".into(), failure);
    });
    let answer = run(stage.banger(&["vm", "ports", "test", "nope", "old", "dev"])).await;
    assert_eq!(answer.status, Some(1));
    let vms: Vec<_> = answer.stdout.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(vms, ["VM", "test", "dev"]);
    insta::assert_snapshot!(answer.stderr, @r"
    banger: nope: there is no VM `nope`
    hint: see `banger vm list`
    banger: old: VM `old` is not running
    ");
    let answer = run(stage.banger(&["vm", "ports", "--json", "nope", "dev"])).await;
    let value: Value = serde_json::from_str(&answer.stdout).unwrap();
    assert_eq!((answer.status, &value[0]["ok"]), (Some(1), &false.into()));
    assert_eq!(value[1]["ports"][0]["processes"][0]["name"], "systemd");
}

#[tokio::test]
async fn stats_show_the_hosts_figures_of_a_silent_guest_and_fail() {
    let stage = stage_with_vms();
    stage.daemon.script(|script| script.silent_guests = vec!["test".into()]);
    let told = run(stage.banger(&["vm", "stats"])).await;
    assert_eq!(told.status, Some(1));
    insta::assert_snapshot!(told.stdout, @r"
    NAME  STATE         CPU    MEM   DISK  GUEST MEM  /   /root  NET    LOAD  UP
    dev   running       50.0%  1.0M  0B    512M/1.0G  -   -      0B/0B  0.50  5s
    test  unresponsive  50.0%  1.0M  0B    -          -   -      -      -     -
    ");
    insta::assert_snapshot!(told.stderr, @r"
    banger: cannot ask the guest
    hint: banger vm logs test
    ");
    let told = run(stage.banger(&["vm", "stats", "--json", "dev"])).await;
    let value: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!((told.status, &value[0]["stats"]["cpu_percent"]), (Some(0), &50.0.into()));
}

#[tokio::test]
async fn watched_stats_go_on_as_json_lines_until_ctrl_c() {
    let stage = stage_with_vms();
    let mut command = stage.banger(&["vm", "stats", "--watch", "--json", "dev", "nope"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        let line = tokio::time::timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap().unwrap();
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&value["name"], &value["guest"]["tasks"]), (&"dev".into(), &3.into()));
    }
    send(&child, Signal::INT);
    let told = told(child).await;
    assert_eq!(told.status, Some(0));
    assert_eq!(told.stderr, "banger: there is no VM `nope`\nhint: see `banger vm list`\n");
}

#[tokio::test]
async fn a_watch_of_nothing_ends_at_once() {
    let stage = stage_with_vms();
    let told = run(stage.banger(&["vm", "stats", "--watch", "nope"])).await;
    assert_eq!((told.status, told.stdout.as_str()), (Some(1), ""));
}
