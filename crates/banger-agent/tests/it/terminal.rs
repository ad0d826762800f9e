//! Commands on a terminal.

use banger_agent_proto::{
    ExecExited, ExecStart, StdinEnd, WindowSize, exec_exited::Outcome, exec_reply::Reply,
    exec_request::Request,
};

use crate::guest::{run, shell, start};

fn on_terminal(script: &str) -> ExecStart {
    ExecStart { terminal: Some(WindowSize { columns: 80, rows: 24 }), ..shell(script) }
}

#[tokio::test]
async fn the_terminal_has_its_size_and_is_the_controlling_one() {
    let outcome = run(on_terminal("stty size; echo direct > /dev/tty; test -t 2 && echo $TERM >&2")).await;
    assert_eq!(String::from_utf8(outcome.stdout).unwrap(), "24 80\r\ndirect\r\nxterm-256color\r\n");
}

#[tokio::test]
async fn a_resize_is_heard() {
    let mut running =
        start(on_terminal("trap 'stty size; exit' WINCH; echo up; while :; do read x; done")).await;
    running.wait_for("up").await;
    running.send(Request::Resize(WindowSize { columns: 132, rows: 50 })).await;
    running.wait_for("50 132").await;
}

#[tokio::test]
async fn a_command_that_reads_nothing_still_hears_of_sizes_and_signals() {
    let script = "stty raw -echo; trap 'stty size' WINCH; trap 'kill $!; exit 3' TERM; echo up; \
                  while :; do sleep 1000 & wait; kill $!; done";
    let mut running = start(on_terminal(script)).await;
    running.wait_for("up").await;
    // Many times the capacity of a terminal.
    for _ in 0..10 {
        running.send(Request::Stdin(vec![b'x'; 100_000].into())).await;
    }
    running.send(Request::Resize(WindowSize { columns: 132, rows: 50 })).await;
    running.wait_for("50 132").await;
    running.send(Request::Signal(15)).await;
    let end = running.finish().await.end;
    assert_eq!(end, Some(Reply::Exited(ExecExited { outcome: Some(Outcome::Code(3)), note: String::new() })));
}

#[tokio::test]
async fn ctrl_c_ends_the_foreground() {
    let mut running = start(on_terminal("echo up; exec cat")).await;
    running.wait_for("up").await;
    running.send(Request::Stdin(b"\x03".as_slice().into())).await;
    let end = running.finish().await.end;
    assert_eq!(
        end,
        Some(Reply::Exited(ExecExited { outcome: Some(Outcome::Signal(2)), note: String::new() }))
    );
}

#[tokio::test]
async fn a_signal_goes_to_the_foreground_group() {
    let script = "set -m; trap 'echo shell' INT; sh -c 'trap \"echo inner; exit 3\" INT; echo up; while :; do \
                  read x; done'; echo code $?";
    let mut running = start(on_terminal(script)).await;
    running.wait_for("up").await;
    running.send(Request::Signal(2)).await;
    let seen = running.wait_for("code").await;
    assert!(seen.contains("inner"), "{seen}");
}

#[tokio::test]
async fn the_end_of_input_is_the_terminals_own_character() {
    let mut running = start(on_terminal("echo up; cat; echo end")).await;
    running.wait_for("up").await;
    running.send(Request::Stdin(b"line\n".as_slice().into())).await;
    running.wait_for("line\r\nline\r\n").await;
    running.send(Request::StdinEnd(StdinEnd {})).await;
    running.wait_for("end").await;
}

/// As a shell that starts to edit lines after its input has ended already.
#[tokio::test]
async fn a_program_that_changes_the_terminals_mode_is_told_again_of_the_end_of_input() {
    let script = "echo up; read line; stty -icanon min 1; printf '> '; head -c 1; echo end";
    let mut running = start(on_terminal(script)).await;
    running.wait_for("up").await;
    running.send(Request::StdinEnd(StdinEnd {})).await;
    running.wait_for("end").await;
}

#[tokio::test]
async fn all_output_comes_before_the_exit() {
    let outcome = run(on_terminal("seq 20000")).await;
    let text = String::from_utf8(outcome.stdout).unwrap();
    assert!(text.ends_with("\r\n20000\r\n"));
    assert_eq!(text.lines().count(), 20000);
}

#[tokio::test]
async fn a_background_process_on_the_terminal_does_not_hold_back_the_exit() {
    let outcome = run(on_terminal("trap '' HUP; sleep 1000 & echo $!")).await;
    assert!(matches!(outcome.end, Some(Reply::Exited(_))));
    let pid = String::from_utf8(outcome.stdout).unwrap().trim().parse().unwrap();
    let _ = rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid).unwrap(),
        rustix::process::Signal::KILL,
    );
}
