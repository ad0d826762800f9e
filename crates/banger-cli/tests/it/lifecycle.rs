//! Several VMs in one command; lists and JSON.

use banger_api::ErrorCode;
use banger_model::VmState;
use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::daemon::{OnCreate, error, vm};
use crate::program::{Stage, run, send, told};

fn stage_with_vms() -> Stage {
    let stage = Stage::new();
    stage
        .daemon
        .script(|script| script.vms = vec![vm("dev", 0xaa01), vm("test", 0xaa02), vm("prod", 0xbb03)]);
    stage
}

#[tokio::test]
async fn several_vms_are_told_in_the_order_typed_and_one_failure_is_one() {
    let stage = stage_with_vms();
    stage.daemon.script(|script| {
        let failure = error(ErrorCode::NotRunning, "the VM `dev` is not running");
        script.errors.insert("POST /v1/vms/000000000000aa01/stop".into(), failure);
    });
    let words =
        ["vm", "stop", "-q", "test", "000000000000aa01", "nope", "000000000000a", "prod", "test", "dev"];
    let told = run(stage.banger(&words)).await;
    assert_eq!(told.status, Some(1));
    assert_eq!(told.stdout, "000000000000aa02\n000000000000bb03\n");
    insta::assert_snapshot!(told.stderr, @r"
    banger: dev: the VM `dev` is not running
    banger: nope: there is no VM `nope`
    hint: see `banger vm list`
    banger: 000000000000a: `000000000000a` matches several VMs: dev, test
    hint: use a name, or more of the ID
    ");
    let lists = stage.daemon.requests().iter().filter(|request| *request == "GET /v1/vms").count();
    assert_eq!(lists, 1);
}

#[tokio::test]
async fn what_an_operation_warns_of_is_told_once_also_to_who_wants_no_progress() {
    let stage = stage_with_vms();
    stage.daemon.script(|script| script.warnings = vec!["this is slow".into(), "this is old".into()]);
    let told = run(stage.banger(&["vm", "start", "-q", "dev"])).await;
    assert_eq!((told.status, told.stdout.as_str()), (Some(0), "000000000000aa01\n"));
    assert_eq!(told.stderr, "warning: this is slow\nwarning: this is old\n");
    let told = run(stage.banger(&["vm", "create", "--name", "new"])).await;
    assert_eq!((told.status, told.stdout.as_str()), (Some(0), "new\n"));
    assert_eq!(told.stderr.matches("warning: this is slow\n").count(), 1, "{}", told.stderr);
}

#[tokio::test]
async fn every_lifecycle_command_reaches_its_route() {
    let stage = stage_with_vms();
    for verb in ["start", "stop", "restart", "kill", "delete"] {
        let told = run(stage.banger(&["vm", verb, "-q", "dev"])).await;
        assert_eq!((told.status, told.stderr.as_str()), (Some(0), ""), "{verb}");
        stage.daemon.requested(&format!("POST /v1/vms/000000000000aa01/{verb}")).await;
    }
    assert_eq!(stage.daemon.vms(), ["test", "prod"]);
    for words in [&["set", "--ttl", "none"][..], &["touch"]] {
        let told = run(stage.banger(&[&["vm"], words, &["test"]].concat())).await;
        assert_eq!(told.status, Some(0), "{told:?}");
        stage.daemon.requested(&format!("POST /v1/vms/000000000000aa02/{}", words[0])).await;
    }
    let told = run(stage.banger(&["vm", "set", "test"])).await;
    assert_eq!(told.status, Some(2), "a change of nothing: {told:?}");
}

#[tokio::test]
async fn prune_deletes_what_is_stopped_and_nothing_unasked() {
    let stage = stage_with_vms();
    stage.daemon.script(|script| {
        script.vms[0].state = VmState::Stopped;
        script.vms[2].state = VmState::Failed;
    });
    let told = run(stage.banger(&["vm", "prune"])).await;
    assert_eq!(told.status, Some(1));
    insta::assert_snapshot!(told.stderr, @r"
    banger: cannot ask for confirmation without a terminal; use `--yes`
    ");
    assert_eq!(stage.daemon.vms(), ["dev", "test", "prod"]);
    let told = run(stage.banger(&["vm", "prune", "-q", "--force"])).await;
    assert_eq!((told.status, told.stdout.as_str()), (Some(0), "000000000000aa01\n000000000000bb03\n"));
    assert_eq!(stage.daemon.vms(), ["test"]);
    let told = run(stage.banger(&["vm", "prune", "--force"])).await;
    assert_eq!((told.status, told.stderr.as_str()), (Some(0), "no VMs to delete\n"));
}

#[tokio::test]
async fn events_go_on_where_they_were_when_the_daemon_goes_away() {
    let stage = Stage::new();
    let line =
        |cursor: i64| format!("{{\"cursor\":{cursor},\"at\":\"\",\"kind\":\"vm_added\",\"name\":\"dev\"}}\n");
    stage.daemon.script(|script| script.events = [line(7) + &line(8), line(9)].into());
    let mut child = stage.banger(&["events"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for cursor in [7, 8, 9] {
        assert_eq!(lines.next_line().await.unwrap().unwrap() + "\n", line(cursor));
    }
    stage.daemon.requested("GET /v1/events?after=9&follow=true").await;
    let events: Vec<_> =
        stage.daemon.requests().into_iter().filter(|request| request.starts_with("GET /v1/events")).collect();
    assert_eq!(
        events,
        [
            "GET /v1/events?follow=true",
            "GET /v1/events?after=8&follow=true",
            "GET /v1/events?after=9&follow=true"
        ]
    );
    child.kill().await.unwrap();
    stage.daemon.script(|script| script.events = [line(9)].into());
    let told = run(stage.banger(&["events", "--after", "8", "--no-follow"])).await;
    assert_eq!((told.status, told.stdout), (Some(0), line(9)));
}

#[tokio::test]
async fn an_interrupted_stop_goes_on_and_an_interrupted_start_does_not() {
    let stage = stage_with_vms();
    stage.daemon.script(|script| script.create = OnCreate::Hold);
    let child = stage.banger(&["vm", "stop", "-q", "dev"]).spawn().unwrap();
    stage.daemon.requested("GET /v1/operations/op-0").await;
    send(&child, Signal::INT);
    let stopped = told(child).await;
    assert_eq!(stopped.status, Some(130));
    assert_eq!(stopped.stderr, "banger: stopped waiting; the daemon continues with `dev`\n");
    assert!(!stage.daemon.requests().iter().any(|request| request.ends_with("cancel")));

    let child = stage.banger(&["vm", "start", "-q", "dev"]).spawn().unwrap();
    stage.daemon.requested("GET /v1/operations/op-1").await;
    send(&child, Signal::INT);
    let started = told(child).await;
    assert_eq!(started.status, Some(130));
    assert_eq!(started.stderr, "banger: cancelled; VM `dev` is stopped\nhint: banger vm start dev\n");
    stage.daemon.requested("POST /v1/operations/op-1/cancel").await;
}

#[tokio::test]
async fn json_of_a_lifecycle_command_holds_every_target() {
    let stage = stage_with_vms();
    let told = run(stage.banger(&["vm", "stop", "-q", "--json", "dev", "nope"])).await;
    assert_eq!(told.status, Some(1));
    let value: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!((&value[0]["target"], &value[0]["ok"]), (&"dev".into(), &true.into()));
    assert_eq!(value[0]["vm"]["id"], "000000000000aa01");
    assert_eq!(value[1]["error"]["message"], "there is no VM `nope`");
}

#[tokio::test]
async fn lists_are_json_with_the_names_of_the_api() {
    let stage = stage_with_vms();
    let told = run(stage.banger(&["ps", "--json"])).await;
    let value: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(value[0]["memory_mib"], 512);
    assert_eq!(value[2]["name"], "prod");
    let told = run(stage.banger(&["vm", "show", "--json", "test"])).await;
    let value: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(value["id"], "000000000000aa02");
    let told = run(stage.banger(&["image", "list", "--json"])).await;
    let value: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(value[0]["kernel"], "debian-12");
    let told = run(stage.banger(&["daemon", "status", "--json"])).await;
    let value: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(
        (&value["is_running"], &value["api_version"]),
        (&true.into(), &banger_api::API_VERSION.into())
    );
    let told = run(stage.banger(&["vm", "create", "-q", "--json", "--name", "new"])).await;
    let value: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(value["name"], "new");
}

#[tokio::test]
async fn the_doctor_passes_with_warnings() {
    let stage = Stage::new();
    let told = run(stage.banger(&["doctor"])).await;
    assert_eq!(told.status, Some(0));
    insta::assert_snapshot!(told.stdout, @r"
    PASS  qemu
          8.2
    WARN  kvm
          none
          fix: see the firmware
    no problems, 1 warning
    ");
}

#[tokio::test]
async fn a_missing_vm_is_told_in_the_daemons_words() {
    let stage = Stage::new();
    for words in [&["vm", "show", "nope"][..], &["vm", "exec", "nope", "--", "x"], &["vm", "ssh", "nope"]] {
        let told = run(stage.banger(words)).await;
        assert_eq!((told.status, told.stderr.as_str()), (Some(1), "banger: there is no such VM\n"));
    }
}
