//! `vm run`: what is made, what runs, what is left.

use banger_agent_proto::exec_reply::Reply;
use banger_agent_proto::{ExecFailed, exec_failed};
use banger_api::{EndingView, ErrorBody, ErrorCode};
use banger_model::Hint;
use rustix::process::Signal;

use crate::daemon::{OnCreate, error, image};
use crate::program::{Stage, run, send, told};

#[tokio::test]
async fn a_command_keeps_its_arguments_its_streams_and_its_status() {
    let mut stage = Stage::new();
    let words = ["vm", "run", "--rm", "-q", "--", "sh", "-c", "echo  \"$1\"", "", "*", "é"];
    let child = stage.banger(&words).spawn().unwrap();
    let call = stage.daemon.exec().await;
    assert_eq!(call.argv(), ["sh", "-c", "echo  \"$1\"", "", "*", "é"]);
    assert!(call.start.terminal.is_none());
    call.started().await;
    call.stdout("out\n").await;
    call.stderr("err\n").await;
    call.exited(42).await;
    let told = told(child).await;
    assert_eq!((told.status, told.stdout.as_str(), told.stderr.as_str()), (Some(42), "out\n", "err\n"));
    assert_eq!(stage.daemon.vms(), Vec::<String>::new());
}

#[tokio::test]
async fn every_way_to_end_has_its_exit_status() {
    let failed = |reason: exec_failed::Reason| {
        Reply::Failed(ExecFailed { reason: reason.into(), message: "cannot run `x`".into() })
    };
    let mut stage = Stage::new();
    for (reply, status) in [
        (None, 137),
        (Some(failed(exec_failed::Reason::NotFound)), 127),
        (Some(failed(exec_failed::Reason::NotExecutable)), 126),
        (Some(failed(exec_failed::Reason::NoSuchUser)), 1),
    ] {
        let child = stage.banger(&["vm", "run", "-q", "--rm", "--", "x"]).spawn().unwrap();
        let call = stage.daemon.exec().await;
        if let Some(reply) = reply {
            call.reply(reply).await;
        } else {
            call.started().await;
            call.killed(9).await;
        }
        drop(call);
        let told = told(child).await;
        assert_eq!(told.status, Some(status), "{told:?}");
        assert_eq!(told.stderr, if status == 137 { "" } else { "banger: cannot run `x`\n" });
        assert_eq!(stage.daemon.vms(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn stages_are_plain_lines_where_nobody_watches() {
    let mut stage = Stage::new();
    let child = stage.banger(&["vm", "run", "--name", "dev", "--", "true"]).spawn().unwrap();
    let call = stage.daemon.exec().await;
    call.started().await;
    call.exited(0).await;
    let told = told(child).await;
    let stderr = told.stderr.replace(|c: char| c.is_ascii_digit(), "N");
    insta::assert_snapshot!(stderr, @r"
    disks: dev
    boot: dev
    dev ready in N.N s
    VM `dev` is still running; `banger stop dev` stops it, `banger rm dev` deletes it
    ");
    assert_eq!((told.status, stage.daemon.vms()), (Some(0), vec!["dev".to_owned()]));
}

#[tokio::test]
async fn detached_prints_the_name_and_enters_nothing() {
    let stage = Stage::new();
    let told = run(stage.banger(&["vm", "run", "-d", "-q", "--name", "dev"])).await;
    assert_eq!(
        (told.status, told.stdout.as_str(), told.stderr.as_str()),
        (Some(0), "0000000000abcdef\n", "")
    );
    assert_eq!(stage.daemon.vms(), ["dev"]);
}

#[tokio::test]
async fn a_failed_create_is_told_with_the_console_and_runs_nothing() {
    let stage = Stage::new();
    let failure = ErrorBody {
        hint: Some(Hint::ReadVmLog { vm: "dev".into() }),
        op_id: Some("op-1".into()),
        console: vec!["Kernel panic".into()],
        ..error(ErrorCode::OperationFailed, "the guest of `dev` never said hello")
    };
    stage.daemon.script(|script| script.create = OnCreate::Fail(failure));
    let told = run(stage.banger(&["vm", "run", "--rm", "-q", "--name", "dev", "--", "true"])).await;
    assert_eq!(told.status, Some(1));
    insta::assert_snapshot!(told.stderr, @r"
    banger: the guest of `dev` never said hello (op-1)
        Kernel panic
    hint: banger vm logs dev
    ");
    assert!(!stage.daemon.requests().iter().any(|request| request.contains("delete")));
}

#[tokio::test]
async fn an_interrupt_during_create_cancels_it_and_waits() {
    let stage = Stage::new();
    stage.daemon.script(|script| script.create = OnCreate::Hold);
    let child = stage.banger(&["vm", "run", "--rm", "--", "true"]).spawn().unwrap();
    stage.daemon.requested("GET /v1/operations/op-0").await;
    send(&child, Signal::INT);
    let told = told(child).await;
    assert_eq!(told.status, Some(130));
    insta::assert_snapshot!(told.stderr, @r"
    disks: brisk-otter-0417
    boot: brisk-otter-0417
    cancelling; press Ctrl-C again to stop waiting
    banger: cancelled; nothing is left behind
    ");
    stage.daemon.requested("POST /v1/operations/op-0/cancel").await;
}

#[tokio::test]
async fn a_create_that_was_done_before_its_cancellation_is_deleted() {
    let stage = Stage::new();
    stage.daemon.script(|script| script.create = OnCreate::SucceedWhenCancelled);
    let child = stage.banger(&["vm", "create"]).spawn().unwrap();
    stage.daemon.requested("GET /v1/operations/op-0").await;
    send(&child, Signal::TERM);
    let told = told(child).await;
    assert_eq!((told.status, told.stdout.as_str()), (Some(143), ""));
    assert_eq!(stage.daemon.vms(), Vec::<String>::new());
}

#[tokio::test]
async fn a_second_interrupt_leaves_at_once() {
    let stage = Stage::new();
    stage.daemon.script(|script| {
        script.create = OnCreate::Hold;
        script.silent.push("POST /v1/operations/op-0/cancel".into());
    });
    let child = stage.banger(&["vm", "run", "--", "true"]).spawn().unwrap();
    stage.daemon.requested("GET /v1/operations/op-0").await;
    send(&child, Signal::INT);
    stage.daemon.requested("POST /v1/operations/op-0/cancel").await;
    send(&child, Signal::INT);
    let told = told(child).await;
    assert_eq!(told.status, Some(130));
    assert!(told.stderr.contains("stopped waiting before `brisk-otter-0417` was undone"), "{told:?}");
}

#[tokio::test]
async fn two_signals_at_once_cancel_all_the_same() {
    // Which of the two is heard first, and what has been said by then, is chance.
    for _ in 0..8 {
        let stage = Stage::new();
        stage.daemon.script(|script| script.create = OnCreate::Hold);
        let child = stage.banger(&["vm", "run", "--", "true"]).spawn().unwrap();
        stage.daemon.requested("GET /v1/operations/op-0").await;
        send(&child, Signal::INT);
        send(&child, Signal::TERM);
        assert!(matches!(told(child).await.status, Some(130 | 143)));
        let is_cancel = |request: &String| request == "POST /v1/operations/op-0/cancel";
        assert!(stage.daemon.requests().iter().any(is_cancel));
    }
}

#[tokio::test]
async fn rm_deletes_after_each_signal_that_ends_the_program() {
    let mut stage = Stage::new();
    for (signal, number) in [(Signal::INT, 2), (Signal::TERM, 15), (Signal::HUP, 1)] {
        let mut child = stage.banger(&["vm", "run", "--rm", "-q", "--", "sleep", "1000"]).spawn().unwrap();
        let mut call = stage.daemon.exec().await;
        call.come_up(&mut child).await;
        send(&child, signal);
        assert_eq!(call.signal().await, number);
        call.killed(number).await;
        let told = told(child).await;
        assert_eq!(told.status, Some(128 + i32::try_from(number).unwrap()), "{told:?}");
        assert_eq!(stage.daemon.vms(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_signal_before_the_command_has_started_leaves_and_deletes() {
    let mut stage = Stage::new();
    let child = stage.banger(&["vm", "run", "--rm", "-q", "--", "sleep", "1000"]).spawn().unwrap();
    let call = stage.daemon.exec().await;
    send(&child, Signal::INT);
    call.gone().await;
    drop(call);
    assert_eq!(told(child).await.status, Some(130));
    assert_eq!(stage.daemon.vms(), Vec::<String>::new());
}

#[tokio::test]
async fn a_command_that_ignores_signals_is_left_with_the_third() {
    let mut stage = Stage::new();
    let mut child = stage.banger(&["vm", "run", "--rm", "-q", "--", "stubborn"]).spawn().unwrap();
    let mut call = stage.daemon.exec().await;
    call.come_up(&mut child).await;
    for _ in 0..2 {
        send(&child, Signal::INT);
        assert_eq!(call.signal().await, 2);
    }
    send(&child, Signal::INT);
    call.gone().await;
    drop(call);
    assert_eq!(told(child).await.status, Some(130));
    assert_eq!(stage.daemon.vms(), Vec::<String>::new());
}

#[tokio::test]
async fn rm_deletes_when_the_guest_is_gone_in_the_middle() {
    let mut stage = Stage::new();
    let child = stage.banger(&["vm", "run", "--rm", "-q", "--", "make"]).spawn().unwrap();
    let call = stage.daemon.exec().await;
    call.started().await;
    stage.daemon.cut_channels();
    let told = told(child).await;
    assert_eq!(told.status, Some(1));
    let why = "was lost because its agent or the daemon restarted; the command was ended\n";
    assert!(told.stderr.ends_with(why), "{}", told.stderr);
    assert_eq!(told.stderr.lines().count(), 1, "a deleted VM has no next command: {}", told.stderr);
    assert_eq!(stage.daemon.vms(), Vec::<String>::new());
    drop(call);
}

#[tokio::test]
async fn a_deletion_that_fails_is_no_success() {
    let mut stage = Stage::new();
    let failure = error(ErrorCode::OperationFailed, "the disks are busy");
    stage.daemon.script(|script| {
        script.errors.insert("POST /v1/vms/0000000000abcdef/delete".into(), failure);
    });
    let child = stage.banger(&["vm", "run", "--rm", "-q", "--name", "dev", "--", "true"]).spawn().unwrap();
    let call = stage.daemon.exec().await;
    call.started().await;
    call.exited(0).await;
    let told = told(child).await;
    assert_eq!(told.status, Some(1));
    assert_eq!(told.stderr, "banger: cannot delete `dev`: the disks are busy\n");
}

#[tokio::test]
async fn a_command_that_ends_with_its_guest_says_how_that_ended() {
    for (starts_again, hint) in
        [(true, "the guest starts again; enter it with `banger vm exec dev`"), (false, "banger vm show dev")]
    {
        let mut stage = Stage::new();
        let made = run(stage.banger(&["vm", "run", "-d", "-q", "--name", "dev"])).await;
        assert_eq!(made.status, Some(0), "{made:?}");
        stage.daemon.script(|script| {
            script.vms[0].boot_id = Some("boot-1".to_owned());
            let why = "the guest rebooted".to_owned();
            script.endings.insert("boot-1".to_owned(), EndingView { why, starts_again });
        });
        let child = stage.banger(&["vm", "exec", "dev", "--", "make"]).spawn().unwrap();
        let call = stage.daemon.exec().await;
        call.started().await;
        stage.daemon.cut_channels();
        let answer = crate::program::told(child).await;
        assert_eq!(answer.status, Some(1));
        let told = "the command in VM `dev` ended with its guest: the guest rebooted";
        assert_eq!(answer.stderr, format!("banger: {told}\nhint: {hint}\n"));
        drop(call);
    }
}

#[tokio::test]
async fn rm_binds_the_vm_to_the_client() {
    let mut stage = Stage::new();
    for (rm, is_bound) in [(&["--rm"][..], true), (&[], false)] {
        let call = [&["vm", "run", "-q"], rm, &["--", "true"]].concat();
        let child = stage.banger(&call).spawn().unwrap();
        let pid = child.id().unwrap();
        let exec = stage.daemon.exec().await;
        exec.started().await;
        exec.exited(0).await;
        drop(exec);
        assert_eq!(told(child).await.status, Some(0));
        let asked = stage.daemon.asked();
        let bound = asked.last().unwrap()["bound_to"]["pid"].as_u64();
        assert_eq!(bound, is_bound.then_some(pid.into()));
    }
}

#[tokio::test]
async fn a_detached_run_starts_the_command_or_that_of_its_image_in_the_background() {
    let mut stage = Stage::new();
    let image = image("debian-bookworm", &["/app"]);
    stage.daemon.script(|script| drop(script.answers.insert("GET /v1/images/debian-bookworm".into(), image)));
    for (words, argv) in [(&["--", "sleep", "9"][..], &["sleep", "9"][..]), (&[], &[])] {
        let child = stage.banger(&[&["run", "-d", "--name", "web"], words].concat()).spawn().unwrap();
        let call = stage.daemon.exec().await;
        assert_eq!(call.argv(), argv);
        assert!(call.start.detached && call.start.image_command == argv.is_empty());
        call.started().await;
        let told = told(child).await;
        assert_eq!((told.status, told.stdout.as_str()), (Some(0), "web\n"), "{told:?}");
    }
}

#[tokio::test]
async fn a_word_that_is_no_image_may_be_a_command_unless_an_option_says_image() {
    for (words, hint) in [
        (&["run", "uname", "-a"][..], "if it is a command: banger run -- uname -a"),
        (&["run", "uname", "a b"], "if it is a command: banger run -- uname …"),
        (&["run", "--image", "uname"], "banger image list --all"),
        (&["create", "--image", "uname"], "banger image list --all"),
    ] {
        let stage = Stage::new();
        let mut refused = error(ErrorCode::OperationFailed, "there is no local image `uname`");
        refused.hint = Some(Hint::RunAsCommand { word: "uname".into() });
        stage.daemon.script(|script| script.create = OnCreate::Fail(refused));
        let told = run(stage.banger(&[&["-q"], words].concat())).await;
        assert_eq!(told.stderr, format!("banger: there is no local image `uname`\nhint: {hint}\n"));
    }
}

#[tokio::test]
async fn a_vm_whose_command_did_not_run_is_named_also_to_who_wants_quiet() {
    let mut stage = Stage::new();
    for words in [&["--name", "dev", "--", "x"][..], &["-d", "--name", "web", "--", "x"]] {
        let child = stage.banger(&[&["-q", "run"], words].concat()).spawn().unwrap();
        let call = stage.daemon.exec().await;
        let reason = exec_failed::Reason::NotFound.into();
        call.reply(Reply::Failed(ExecFailed { reason, message: "cannot run `x`".into() })).await;
        drop(call);
        let told = told(child).await;
        assert_eq!((told.status, told.stdout.as_str()), (Some(127), ""));
        let stderr = told.stderr.replace("web", "dev");
        insta::allow_duplicates! {
            insta::assert_snapshot!(stderr, @r"
            VM `dev` is still running; `banger stop dev` stops it, `banger rm dev` deletes it
            banger: cannot run `x`
            ");
        }
    }
}

#[tokio::test]
async fn a_terminal_is_refused_before_anything_is_made_where_nobody_can_type() {
    let stage = Stage::new();
    for words in [&["run", "-it"][..], &["run", "-it", "alpine", "sh"], &["exec", "-it", "dev", "bash"]] {
        let told = run(stage.banger(words)).await;
        assert_eq!(told.status, Some(2), "{words:?}: {told:?}");
        assert_eq!(told.stderr, "banger: standard input is not a terminal; leave out `-t`\n");
    }
    assert_eq!(stage.daemon.vms(), Vec::<String>::new());
}
