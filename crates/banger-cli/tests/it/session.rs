//! A command's stdin and stdout, `vm exec`, `proxy`, `vm logs`.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use banger_agent_proto::exec_reply::Reply;
use bytes::Bytes;
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};

use crate::daemon::vm;
use crate::program::{Stage, run, send, status, told};

fn stage_with_vm() -> Stage {
    let stage = Stage::new();
    stage.daemon.script(|script| script.vms.push(vm("dev", 7)));
    stage
}

#[tokio::test]
async fn stdin_reaches_the_command_up_to_its_end() {
    let mut stage = stage_with_vm();
    let mut command = stage.banger(&["vm", "exec", "dev", "--", "cat"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut call = stage.daemon.exec().await;
    call.started().await;
    let sent: Vec<u8> = (0..1_000_000_u32).map(|number| (number % 251) as u8).collect();
    let mut stdin = child.stdin.take().unwrap();
    let write = async {
        stdin.write_all(&sent).await.unwrap();
        drop(stdin);
    };
    let ((), received) = tokio::join!(write, call.stdin());
    assert_eq!(received, sent);
    call.exited(0).await;
    assert_eq!(told(child).await.status, Some(0));
}

#[tokio::test]
async fn a_command_goes_on_after_the_end_of_its_input() {
    let mut stage = stage_with_vm();
    let child = stage.banger(&["vm", "exec", "dev", "--", "sleep"]).spawn().unwrap();
    let mut call = stage.daemon.exec().await;
    call.started().await;
    assert_eq!(call.stdin().await, b"");
    call.stdout("later\n").await;
    call.exited(3).await;
    let told = told(child).await;
    assert_eq!((told.status, told.stdout.as_str()), (Some(3), "later\n"));
}

#[tokio::test]
async fn output_comes_through_unchanged_and_whole() {
    let mut stage = stage_with_vm();
    let mut command = stage.banger(&["vm", "exec", "dev", "--", "cat", "/dev/urandom"]);
    let mut child = command.spawn().unwrap();
    let call = stage.daemon.exec().await;
    call.started().await;
    let sent: Vec<u8> = (0..4_000_000_u32).map(|number| (number % 253) as u8).collect();
    let write = async {
        for chunk in sent.chunks(50_000) {
            call.reply(Reply::Stdout(Bytes::copy_from_slice(chunk))).await;
        }
        call.exited(0).await;
    };
    let mut stdout = child.stdout.take().unwrap();
    let mut received = Vec::new();
    let ((), read) = tokio::join!(write, stdout.read_to_end(&mut received));
    read.unwrap();
    assert!(received == sent);
    assert!(status(&mut child).await.success());
}

#[tokio::test]
async fn a_closed_stdout_ends_the_command_without_a_word() {
    let mut stage = Stage::new();
    let mut child = stage.banger(&["vm", "run", "--rm", "-q", "--", "yes"]).spawn().unwrap();
    let call = stage.daemon.exec().await;
    call.started().await;
    call.stdout("y\n").await;
    let mut stdout = child.stdout.take().unwrap();
    assert_eq!(stdout.read_u8().await.unwrap(), b'y');
    drop(stdout);
    while call.try_reply(Reply::Stdout(Bytes::from_static(b"y\n"))).await.is_ok() {}
    drop(call);
    let told = told(child).await;
    assert_eq!((told.status, told.stderr.as_str()), (Some(141), ""));
    assert_eq!(stage.daemon.vms(), Vec::<String>::new());
}

#[tokio::test]
async fn a_closed_stdout_is_no_error_for_a_table_either() {
    let stage = stage_with_vm();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = stage.banger(&["vm", "list"]);
    command.stdout(writer);
    let told = run(command).await;
    assert_eq!((told.status, told.stderr.as_str()), (Some(141), ""));
}

#[tokio::test]
async fn exec_takes_environment_directory_and_user_along() {
    let mut stage = stage_with_vm();
    let words = [
        "vm",
        "exec",
        "dev",
        "-e",
        "A=1",
        "-e",
        "FROM_US",
        "--workdir",
        "/srv",
        "--user",
        "1000:1000",
        "-t",
        "--",
        "id",
    ];
    let mut command = stage.banger(&words);
    command.env("FROM_US", "x y").env("TERM", "vt100");
    let child = command.spawn().unwrap();
    let call = stage.daemon.exec().await;
    let start = &call.start;
    let pairs: Vec<_> = start.environment.iter().map(|v| (v.name.as_ref(), v.value.as_ref())).collect();
    assert_eq!(pairs, [(&b"TERM"[..], &b"vt100"[..]), (b"A", b"1"), (b"FROM_US", b"x y")]);
    assert_eq!((start.working_directory.as_ref(), start.user.as_str()), (&b"/srv"[..], "1000:1000"));
    assert!(start.terminal.is_some());
    call.started().await;
    call.exited(0).await;
    assert_eq!(told(child).await.status, Some(0));
}

#[tokio::test]
async fn a_detached_command_prints_its_process() {
    let mut stage = stage_with_vm();
    let child = stage.banger(&["vm", "exec", "-d", "dev", "--", "server"]).spawn().unwrap();
    let call = stage.daemon.exec().await;
    assert!(call.start.detached);
    call.started().await;
    let told = told(child).await;
    assert_eq!((told.status, told.stdout.as_str()), (Some(0), "42\n"));
}

#[tokio::test]
async fn a_guest_that_hangs_is_reported_within_five_seconds() {
    let stage = stage_with_vm();
    stage.daemon.script(|script| script.are_guests_silent = true);
    let told = run(stage.banger(&["vm", "exec", "dev", "--", "true"])).await;
    assert_eq!(told.status, Some(1));
    insta::assert_snapshot!(told.stderr, @r"
    banger: the guest did not answer `hello` within 5 s
    hint: the guest hangs or is very busy; see `banger vm logs`
    ");
}

/// Makes the guest of `dev` one that stands still, or one that answers again.
fn stand_still(stage: &Stage, since: Option<&str>) {
    stage.daemon.script(|script| {
        script.vms[0].is_unresponsive = since.is_some();
        script.vms[0].unresponsive_since = since.map(str::to_owned);
    });
}

#[tokio::test]
async fn a_command_that_starts_while_its_guest_is_away_says_so() {
    let stage = stage_with_vm();
    stage.daemon.script(|script| script.are_guests_silent = true);
    stand_still(&stage, Some("2026-01-01T12:03:05Z"));
    for words in
        [&["vm", "exec", "dev", "--", "true"][..], &["vm", "ssh", "dev"], &["vm", "cp", "dev:/x", "."]]
    {
        let told = run(stage.banger(words)).await;
        assert_eq!(told.status, Some(1), "{told:?}");
        let message = "banger: the guest of `dev` has not answered since ";
        assert!(told.stderr.starts_with(message), "{words:?}: {}", told.stderr);
        assert!(
            told.stderr.contains(":03:05: the guest did not answer `hello` within 5 s\nhint: it may be busy")
        );
    }
}

#[tokio::test]
async fn a_running_command_tells_that_its_guest_is_away_and_back_and_goes_on() {
    let mut stage = stage_with_vm();
    let mut child = stage.banger(&["vm", "exec", "dev", "--", "make"]).spawn().unwrap();
    let call = stage.daemon.exec().await;
    call.started().await;
    stand_still(&stage, Some("2026-01-01T12:03:05Z"));
    // Ends at once, as a daemon's does that goes away: its successor is asked.
    stage.daemon.script(|script| script.events.push_back(String::new()));
    let mut stderr = tokio::io::BufReader::new(child.stderr.take().unwrap()).lines();
    let line = stderr.next_line().await.unwrap().unwrap();
    assert!(
        line.starts_with("banger: the guest of `dev` has not answered since ") && line.contains(":03:05;")
    );
    stand_still(&stage, None);
    let line = stderr.next_line().await.unwrap().unwrap();
    assert_eq!(line, "banger: the guest of `dev` answers again");
    call.stdout("made\n").await;
    call.exited(0).await;
    let told = told(child).await;
    assert_eq!((told.status, told.stdout.as_str()), (Some(0), "made\n"));
}

#[tokio::test]
async fn proxy_connects_ssh_to_the_guest() {
    let stage = stage_with_vm();
    let mut command = stage.banger(&["proxy", "dev.vm", "22"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"hello").await.unwrap();
    drop(stdin);
    let told = told(child).await;
    assert_eq!((told.status, told.stdout.as_str()), (Some(0), "SSH-2.0-fake\nhello"));
}

#[tokio::test]
async fn ssh_is_the_hosts_own_and_its_exit_status_ours() {
    let stage = stage_with_vm();
    let ssh = stage.home.path().join("ssh");
    fs::write(&ssh, "#!/bin/sh\nprintf '%s\\n' \"$@\"\nexit 7\n").unwrap();
    fs::set_permissions(&ssh, Permissions::from_mode(0o755)).unwrap();
    let mut command = stage.banger(&["vm", "ssh", "dev", "--", "-v", "uname  -a"]);
    let path = std::env::join_paths(
        [stage.home.path().to_owned()]
            .into_iter()
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    command.env("PATH", path.unwrap());
    let told = run(command).await;
    assert_eq!((told.status, told.stderr.as_str()), (Some(7), ""));
    assert!(told.stdout.ends_with("/id_ed25519\n-l\nroot\ndev.vm\n-v\nuname  -a\n"), "{}", told.stdout);
}

#[tokio::test]
async fn ssh_into_a_guest_without_a_server_goes_through_the_agent() {
    let mut stage = stage_with_vm();
    stage.daemon.script(|script| script.character.has_ssh_server = Some(false));
    let child = stage.banger(&["vm", "ssh", "dev", "--", "echo", "a  b"]).spawn().unwrap();
    let call = stage.daemon.exec().await;
    assert_eq!(
        (call.argv().as_slice(), call.start.user.as_str()),
        (&["/bin/sh", "-c", "echo a  b"][..], "root")
    );
    call.started().await;
    call.exited(7).await;
    assert_eq!(told(child).await.status, Some(7));
    let refused = run(stage.banger(&["vm", "ssh", "dev", "--", "-L", "8080:localhost:80"])).await;
    assert_eq!(refused.status, Some(1));
    assert!(refused.stderr.starts_with("banger: VM `dev` has no ssh server"), "{}", refused.stderr);
}

#[tokio::test]
async fn a_run_without_a_command_asks_for_the_images_own_and_exec_for_a_shell() {
    let mut stage = stage_with_vm();
    for (arguments, is_images) in [(&["vm", "run"][..], true), (&["vm", "exec", "dev"], false)] {
        let child = stage.banger(arguments).spawn().unwrap();
        let call = stage.daemon.exec().await;
        assert_eq!((call.argv().len(), call.start.image_command), (0, is_images));
        call.started().await;
        call.exited(0).await;
        assert_eq!(told(child).await.status, Some(0));
    }
}

#[tokio::test]
async fn proxy_tells_why_the_guest_does_not_connect() {
    let stage = stage_with_vm();
    let told = run(stage.banger(&["proxy", "dev", "8080"])).await;
    assert_eq!(told.status, Some(1));
    assert_eq!(told.stderr, "banger: the guest cannot connect to tcp 127.0.0.1:8080: connection refused\n");
}

#[tokio::test]
async fn logs_are_printed_as_they_are() {
    let stage = stage_with_vm();
    let told = run(stage.banger(&["vm", "logs", "dev"])).await;
    assert_eq!((told.status, told.stdout.as_str()), (Some(0), "[    0.000000] Linux version 6.1\n"));
}

#[tokio::test]
async fn one_signal_to_end_is_enough_also_for_a_command_that_ignores_it() {
    let mut stage = stage_with_vm();
    for (signal, number) in [(Signal::TERM, 15), (Signal::HUP, 1)] {
        let mut child = stage.banger(&["vm", "exec", "dev", "--", "stubborn"]).spawn().unwrap();
        let mut call = stage.daemon.exec().await;
        call.come_up(&mut child).await;
        send(&child, signal);
        assert_eq!(call.signal().await, number);
        call.gone().await;
        drop(call);
        assert_eq!(told(child).await.status, Some(128 + i32::try_from(number).unwrap()));
    }
}

#[tokio::test]
async fn the_second_signal_to_end_does_not_wait() {
    let mut stage = stage_with_vm();
    let mut child = stage.banger(&["vm", "exec", "dev", "--", "stubborn"]).spawn().unwrap();
    let mut call = stage.daemon.exec().await;
    call.come_up(&mut child).await;
    send(&child, Signal::TERM);
    assert_eq!(call.signal().await, 15);
    send(&child, Signal::INT);
    call.gone().await;
    drop(call);
    assert_eq!(told(child).await.status, Some(130));
}

#[tokio::test]
async fn commands_in_a_loop_leave_its_input_alone() {
    let mut stage = Stage::new();
    stage.daemon.script(|script| script.vms = vec![vm("dev", 1)]);
    let program = env!("CARGO_BIN_EXE_banger");
    let mut shell = tokio::process::Command::new("sh");
    shell
        .args(["-c", "seq 10 | while read -r n; do \"$0\" exec -n dev echo \"$n\"; done", program])
        .env("BANGER_HOME", stage.home.path())
        .env("BANGERD", stage.home.path().join("no-bangerd"))
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true);
    let child = shell.spawn().unwrap();
    for number in 1..=10 {
        let call = stage.daemon.exec().await;
        assert_eq!(call.argv(), ["echo", &number.to_string()]);
        call.started().await;
        call.stdout("x\n").await;
        call.exited(0).await;
    }
    let told = told(child).await;
    assert_eq!((told.status, told.stdout), (Some(0), "x\n".repeat(10)));
}
