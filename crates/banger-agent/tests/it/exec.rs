//! Commands on pipes.

use std::{os::unix::fs::PermissionsExt as _, time::Duration};

use banger_agent_proto::{
    EnvironmentVariable, ExecExited, StdinEnd, exec_exited::Outcome as ExitOutcome, exec_failed::Reason,
    exec_reply::Reply, exec_request::Request,
};
use rustix::process::{Pid, PidfdFlags, pidfd_open, test_kill_process};

use crate::guest::{Outcome, PATIENCE, client, command, ports, run, shell, start, start_on};

/// 32 and 33 cannot be reset through the C library: they stay as the caller of the test left them.
const SIGNALS_OF_THE_C_LIBRARY: u64 = 3 << 31;

fn code(code: u32) -> Option<Reply> {
    Some(Reply::Exited(ExecExited { outcome: Some(ExitOutcome::Code(code)), note: String::new() }))
}

fn killed_by(signal: u32) -> Option<Reply> {
    Some(Reply::Exited(ExecExited { outcome: Some(ExitOutcome::Signal(signal)), note: String::new() }))
}

fn reason(outcome: &Outcome) -> Reason {
    match &outcome.end {
        Some(Reply::Failed(failed)) => failed.reason(),
        other => panic!("{other:?}"),
    }
}

fn message(outcome: &Outcome) -> &str {
    match &outcome.end {
        Some(Reply::Failed(failed)) => &failed.message,
        other => panic!("{other:?}"),
    }
}

fn pid(text: &str) -> Pid {
    Pid::from_raw(text.trim().parse().unwrap()).unwrap()
}

/// Waits for the end of a process that is not our child.
async fn ended(pid: Pid) {
    let wait = tokio::task::spawn_blocking(move || {
        let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return };
        let patience = rustix::event::Timespec::try_from(PATIENCE).unwrap();
        let mut entry = [rustix::event::PollFd::new(&process, rustix::event::PollFlags::IN)];
        assert_eq!(rustix::event::poll(&mut entry, Some(&patience)), Ok(1), "the process lives on");
    });
    wait.await.unwrap();
}

#[tokio::test]
async fn arguments_arrive_byte_by_byte() {
    let script = b"for a; do printf '%s\\0' \"$a\"; done";
    let odd: [&[u8]; 6] =
        [b"", b"a b", b"\"quoted\" 'twice' \\", b"line\nline", b"\xff\xfe\x80", b"$HOME `id` *"];
    let mut argv: Vec<&[u8]> = vec![b"sh", b"-c", script, b"sh"];
    argv.extend(odd);
    let outcome = run(command(&argv)).await;
    assert_eq!(outcome.stdout, [odd.join(&0), vec![0]].concat());
    assert_eq!(outcome.end, code(0));
}

#[tokio::test]
async fn the_exit_status_is_told() {
    assert_eq!(run(shell("exit 7")).await.end, code(7));
    assert_eq!(run(shell("exit 255")).await.end, code(255));
    assert_eq!(run(shell("kill -9 $$")).await.end, killed_by(9));
    assert_eq!(run(shell("kill -PIPE $$")).await.end, killed_by(13));
}

#[tokio::test]
async fn outputs_stay_apart() {
    let outcome = run(shell("echo out; echo err >&2")).await;
    assert_eq!((outcome.stdout.as_slice(), outcome.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
}

#[tokio::test]
async fn large_output_arrives_before_the_exit() {
    let outcome = run(shell("head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2")).await;
    assert_eq!((outcome.stdout.len(), outcome.stderr.len()), (3_000_000, 3_000_000));
    assert_eq!(outcome.end, code(0));
}

#[tokio::test]
async fn input_ends_when_the_host_says_so() {
    let running = start(command(&[b"cat"])).await;
    let requests = running.requests.clone();
    tokio::spawn(async move {
        for _ in 0..100 {
            let chunk = Request::Stdin(vec![b'x'; 10_000].into());
            requests.send(crate::guest::request(chunk)).await.unwrap();
        }
        requests.send(crate::guest::request(Request::StdinEnd(StdinEnd {}))).await.unwrap();
    });
    let outcome = running.finish().await;
    assert_eq!(outcome.stdout.len(), 1_000_000);
    assert_eq!(outcome.end, code(0));
}

#[tokio::test]
async fn a_host_that_ends_its_side_ends_the_input() {
    let running = start(shell("cat; echo end")).await;
    let crate::guest::Running { requests, replies } = running;
    drop(requests);
    let (requests, _) = tokio::sync::mpsc::channel(1);
    let outcome = crate::guest::Running { requests, replies }.finish().await;
    assert_eq!(outcome.stdout, b"end\n");
}

#[tokio::test]
async fn a_command_that_reads_nothing_can_still_be_ended() {
    let mut running = start(shell("echo up; exec sleep 1000")).await;
    running.wait_for("up").await;
    // Many times the capacity of a pipe.
    for _ in 0..10 {
        running.send(Request::Stdin(vec![b'x'; 100_000].into())).await;
    }
    running.send(Request::Signal(15)).await;
    assert_eq!(running.finish().await.end, killed_by(15));
}

#[tokio::test]
async fn input_that_waited_arrives_whole_before_its_end() {
    let mut running = start(shell("trap 'kill $!; wc -c; exit' USR1; sleep 1000 & echo up; wait")).await;
    running.wait_for("up").await;
    for _ in 0..10 {
        running.send(Request::Stdin(vec![b'x'; 100_000].into())).await;
    }
    running.send(Request::StdinEnd(StdinEnd {})).await;
    running.send(Request::Signal(10)).await;
    let outcome = running.finish().await;
    assert_eq!(String::from_utf8(outcome.stdout).unwrap().trim(), "1000000");
}

#[tokio::test]
async fn a_signal_reaches_the_whole_group() {
    let mut running = start(shell("sleep 1000 & echo $!; wait")).await;
    let child = pid(&running.wait_for("\n").await);
    running.send(Request::Signal(2)).await;
    assert_eq!(running.finish().await.end, killed_by(2));
    // A shell without job control makes background processes ignore the interrupt, but not the next signal.
    let _ = rustix::process::kill_process(child, rustix::process::Signal::KILL);
    ended(child).await;
}

#[tokio::test]
async fn a_process_in_the_background_does_not_hold_back_the_exit() {
    let running = start(shell("sleep 1000 & echo $!")).await;
    let outcome = running.finish().await;
    assert_eq!(outcome.end, code(0));
    let background = pid(&String::from_utf8(outcome.stdout).unwrap());
    assert!(test_kill_process(background).is_ok(), "it goes on");
    let _ = rustix::process::kill_process(background, rustix::process::Signal::KILL);
}

#[tokio::test]
async fn a_caller_that_goes_away_takes_the_whole_tree_along() {
    let mut running = start(shell("sh -c 'sleep 1000 & echo $!; wait' & wait")).await;
    let grandchild = pid(&running.wait_for("\n").await);
    drop(running);
    ended(grandchild).await;
}

#[tokio::test]
async fn a_tree_that_ignores_the_hang_up_is_killed() {
    let mut running = start(shell("trap '' HUP; sleep 1000 & echo $!; wait")).await;
    let child = pid(&running.wait_for("\n").await);
    drop(running);
    ended(child).await;
}

#[tokio::test]
async fn a_host_that_does_not_read_stops_the_command() {
    let mut running = start(command(&[b"yes"])).await;
    let Some(Reply::Started(started)) = running.next().await else { panic!("not started") };
    let blocked = async {
        loop {
            let place = std::fs::read_to_string(format!("/proc/{}/wchan", started.pid)).unwrap();
            if place.contains("pipe") {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, blocked).await.expect("the writer waits");
    let io = std::fs::read_to_string(format!("/proc/{}/io", started.pid)).unwrap();
    let written: u64 = io.lines().find_map(|l| l.strip_prefix("wchar: ")).unwrap().parse().unwrap();
    assert!(written < 8 << 20, "{written} bytes are on their way");
    drop(running);
    ended(pid(&started.pid.to_string())).await;
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    assert_eq!(reason(&run(command(&[b"/does/not/exist"])).await), Reason::NotFound);
    assert_eq!(reason(&run(command(&[b"no-such-tool-anywhere"])).await), Reason::NotFound);
    assert_eq!(reason(&run(command(&[b""])).await), Reason::NotFound);
    assert_eq!(reason(&run(command(&[b"/etc/passwd"])).await), Reason::NotExecutable);
    assert_eq!(reason(&run(command(&[b"/etc"])).await), Reason::NotExecutable);
    assert_eq!(message(&run(command(&[b"no-such-tool"])).await), "`no-such-tool` was not found in PATH");
    assert_eq!(message(&run(command(&[b"/no/tool"])).await), "`/no/tool` does not exist");
    let mut nowhere = shell("true");
    nowhere.working_directory = "/does/not/exist".into();
    let outcome = run(nowhere).await;
    assert_eq!(reason(&outcome), Reason::BadWorkingDirectory);
    assert_eq!(message(&outcome), "the working directory `/does/not/exist` does not exist");
    let mut nobody = shell("true");
    nobody.user = "no-such-user".into();
    assert_eq!(reason(&run(nobody).await), Reason::NoSuchUser);
}

#[tokio::test]
async fn a_script_without_its_interpreter_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tool");
    std::fs::write(&path, "#!/no/such/shell\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut start = command(&[b"./tool"]);
    start.working_directory = directory.path().as_os_str().as_encoded_bytes().to_vec().into();
    let outcome = run(start).await;
    let expected = "`./tool` cannot be executed: its interpreter does not exist";
    assert_eq!(message(&outcome), expected);
}

#[tokio::test]
async fn a_file_of_an_unknown_format_is_not_executable() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tool");
    std::fs::write(&path, "\x01\x02").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let outcome = run(command(&[path.as_os_str().as_encoded_bytes()])).await;
    assert_eq!(reason(&outcome), Reason::NotExecutable);
}

#[tokio::test]
async fn the_path_of_the_command_is_searched() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("only-here");
    std::fs::write(&path, "#!/bin/sh\necho found \"$0\"\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut start = command(&[b"only-here"]);
    let value = format!("{}:/bin:/usr/bin", directory.path().display()).into();
    start.environment.push(EnvironmentVariable { name: "PATH".into(), value });
    assert_eq!(run(start).await.stdout, format!("found {}\n", path.display()).into_bytes());
}

#[tokio::test]
async fn no_descriptor_of_the_agent_leaks() {
    // Deliberately without close-on-exec, as a careless library would open it.
    let _careless =
        rustix::fs::open("/dev/null", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty()).unwrap();
    let outcome = run(shell("for fd in /proc/self/fd/*; do echo ${fd##*/}; done; true")).await;
    let listed = String::from_utf8(outcome.stdout).unwrap();
    let fds: Vec<u32> = listed.lines().filter_map(|line| line.parse().ok()).collect();
    // The shell itself has the directory open while it lists it.
    assert!(fds.iter().filter(|fd| **fd > 2).count() <= 1, "{fds:?}");
}

#[tokio::test]
async fn signals_are_as_at_a_login() {
    let outcome = run(command(&[b"grep", b"-E", b"^Sig(Blk|Ign)", b"/proc/self/status"])).await;
    let text = String::from_utf8(outcome.stdout).unwrap();
    for line in text.lines() {
        let set = u64::from_str_radix(line.split_whitespace().last().unwrap(), 16).unwrap();
        assert_eq!(set & !SIGNALS_OF_THE_C_LIBRARY, 0, "{line}");
    }
    assert_eq!(text.lines().count(), 2);
}

#[tokio::test]
async fn a_detached_command_outlives_its_caller() {
    let directory = tempfile::tempdir().unwrap();
    let (fifo, log) = (directory.path().join("fifo"), directory.path().join("log"));
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    let mut start = shell(&format!("read word < {}; echo \"$word\"", fifo.display()));
    start.detached = true;
    start.log_path = log.as_os_str().as_encoded_bytes().to_vec().into();
    let mut running = crate::guest::start(start).await;
    let Some(Reply::Started(started)) = running.next().await else { panic!("not started") };
    drop(running);
    let path = fifo.clone();
    tokio::task::spawn_blocking(move || std::fs::write(path, "alive\n")).await.unwrap().unwrap();
    ended(pid(&started.pid.to_string())).await;
    assert_eq!(std::fs::read_to_string(log).unwrap(), "alive\n");
}

#[tokio::test]
async fn the_health_counts_commands_that_run() {
    let ports = ports();
    let mut client = client(&ports).await;
    let mut running = start_on(client.clone(), shell("echo up; cat")).await;
    running.wait_for("up").await;
    let health = client.health(banger_agent_proto::HealthRequest {}).await.unwrap().into_inner();
    assert_eq!(health.commands_running, 1);
    running.send(Request::StdinEnd(StdinEnd {})).await;
    assert_eq!(running.finish().await.end, code(0));
}

#[tokio::test]
async fn many_commands_run_at_once() {
    let commands = (0..40_u32).map(|n| async move {
        let outcome = tokio::time::timeout(Duration::from_secs(60), run(shell(&format!("exit {n}")))).await;
        assert_eq!(outcome.unwrap().end, code(n));
    });
    futures::future::join_all(commands).await;
}
