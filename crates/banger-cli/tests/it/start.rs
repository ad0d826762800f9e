//! How the program comes to its daemon: starts it, replaces it, refuses it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::UnixListener;
use tokio::net::unix::pipe;
use tokio::process::Command;

use crate::daemon::{Daemon, info};
use crate::program::{Stage, banger, run, status, told};

/// A home whose `bangerd` is a script.
struct Home {
    directory: TempDir,
}

impl Home {
    fn with_bangerd(script: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let bangerd = directory.path().join("bangerd");
        fs::write(&bangerd, format!("#!/bin/sh\nready=/proc/self/fd/$2\n{script}\n")).unwrap();
        fs::set_permissions(&bangerd, Permissions::from_mode(0o755)).unwrap();
        Self { directory }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn fifo(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).unwrap();
        path
    }

    fn banger(&self, arguments: &[&str]) -> Command {
        let mut command = banger(self.path(), arguments);
        command.env("BANGERD", self.path().join("bangerd"));
        command
    }
}

#[tokio::test]
async fn a_daemon_is_started_in_a_session_of_its_own_and_waited_for() {
    let home = Home::with_bangerd(
        r#"cut -d' ' -f1,6 /proc/self/stat >/dev/null
        echo "$$ $(cut -d' ' -f6 /proc/$$/stat) $(pwd)" > "$BANGER_HOME/asked"
        read go < "$BANGER_HOME/go"
        echo ready > "$ready""#,
    );
    let (asked, go) = (home.fifo("asked"), home.fifo("go"));
    let mut from_script = pipe::OpenOptions::new().read_write(true).open_receiver(asked).unwrap();
    let child = home.banger(&["vm", "list"]).spawn().unwrap();
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        line.push(from_script.read_u8().await.unwrap());
    }
    let line = String::from_utf8(line).unwrap();
    let words: Vec<_> = line.split_whitespace().collect();
    assert_eq!((words[0], words[2]), (words[1], "/"), "its session is {}", words[1]);
    assert_eq!(fs::metadata(home.path().join("run")).unwrap().mode() & 0o777, 0o700);
    let _daemon = Daemon::listen(home.path());
    tokio::task::spawn_blocking(move || fs::write(go, "go\n").unwrap()).await.unwrap();
    let told = told(child).await;
    assert_eq!((told.status, told.stderr.as_str()), (Some(0), ""));
    assert!(told.stdout.starts_with("ID"), "{told:?}");
}

#[tokio::test]
async fn a_daemon_that_refuses_to_start_is_told_in_its_words() {
    let home = Home::with_bangerd(r#"echo "error: the database is of a newer version" > "$ready""#);
    let refused = run(home.banger(&["vm", "list"])).await;
    assert_eq!(refused.status, Some(1));
    assert_eq!(refused.stderr, "banger: the daemon cannot start: the database is of a newer version\n");
    let doctor = run(home.banger(&["doctor"])).await;
    assert_eq!(doctor.status, Some(1));
    assert_eq!(
        doctor.stdout,
        "FAIL  daemon\n      the daemon cannot start: the database is of a newer version\n1 problem\n"
    );
}

#[tokio::test]
async fn a_relative_or_missing_home_is_one_sentence_before_anything_is_made() {
    let directory = tempfile::tempdir().unwrap();
    for (variables, expected) in [
        (&[("HOME", "h")][..], "`HOME` is `h`, which is not an absolute path"),
        (
            &[],
            "`HOME` is not set; set it to your home directory, or `BANGER_HOME` to a directory of banger's own",
        ),
        (&[("BANGER_HOME", "b")], "`BANGER_HOME` is `b`, which is not an absolute path"),
        (
            &[("HOME", "/h"), ("XDG_STATE_HOME", "s")],
            "`XDG_STATE_HOME` is `s`, which is not an absolute path",
        ),
    ] {
        for arguments in
            [&["doctor"][..], &["vm", "list"], &["image", "pull", "x"], &["setup", "firecracker"]]
        {
            let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_banger"));
            command.args(arguments).env_clear().envs(variables.iter().copied()).current_dir(directory.path());
            let told = command.output().await.unwrap();
            assert_eq!(told.status.code(), Some(1), "{arguments:?}");
            assert_eq!(String::from_utf8_lossy(&told.stderr), format!("banger: {expected}\n"));
        }
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_daemon_that_dies_at_once_is_told_with_its_log() {
    let home = Home::with_bangerd("exit 3");
    let told = run(home.banger(&["vm", "list"])).await;
    let log = home.path().join("state/bangerd.log");
    let expected = format!("banger: the daemon ended before it was ready\nhint: see `{}`\n", log.display());
    assert_eq!((told.status, told.stderr), (Some(1), expected));
}

#[tokio::test]
async fn the_loser_of_a_race_uses_the_winners_daemon() {
    // The winner listens only after the loser was told that somebody is there already.
    let home = Home::with_bangerd(
        r#"echo "error: already running" > "$ready"
        echo told > "$BANGER_HOME/told""#,
    );
    let path = home.fifo("told");
    let mut from_script = pipe::OpenOptions::new().read_write(true).open_receiver(path).unwrap();
    let child = home.banger(&["vm", "list"]).spawn().unwrap();
    from_script.read_u8().await.unwrap();
    let _daemon = Daemon::listen(home.path());
    assert_eq!(told(child).await.status, Some(0));
}

#[tokio::test]
async fn a_daemon_that_dies_with_our_connection_is_followed_by_the_next() {
    let home = Home::with_bangerd(r#"read go < "$BANGER_HOME/go"; echo ready > "$ready""#);
    // Open at both ends: a script that nobody starts does not hold up the test.
    let go = pipe::OpenOptions::new().read_write(true).open_sender(home.fifo("go")).unwrap();
    let socket = home.path().join("run/bangerd.sock");
    fs::create_dir_all(home.path().join("run")).unwrap();
    let dying = UnixListener::bind(&socket).unwrap();
    let child = home.banger(&["vm", "list"]).spawn().unwrap();
    drop(dying.accept().await.unwrap());
    drop(dying);
    fs::remove_file(&socket).unwrap();
    let _daemon = Daemon::listen(home.path());
    assert_eq!(go.try_write(b"go\n").unwrap(), 3);
    let told = told(child).await;
    assert_eq!((told.status, told.stderr.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn a_missing_program_is_told_with_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let told = run(banger(home.path(), &["vm", "list"])).await;
    assert_eq!(told.status, Some(1));
    assert!(told.stderr.contains("no-bangerd`: No such file or directory"), "{}", told.stderr);
}

#[tokio::test]
async fn an_older_daemon_at_work_is_used_with_a_warning() {
    let stage = Stage::new();
    stage.daemon.script(|script| {
        script.info.version = "0.0.1".into();
        script.info.work_in_progress = 2;
    });
    let told = run(stage.banger(&["vm", "list"])).await;
    assert_eq!(told.status, Some(0));
    assert_eq!(told.stderr.lines().count(), 1);
    assert!(told.stderr.starts_with("the daemon (banger 0.0.1) has another version and is busy"), "{told:?}");
}

#[tokio::test]
async fn an_older_daemon_at_rest_is_replaced() {
    let home = Home::with_bangerd(
        r#"echo started > "$BANGER_HOME/started"
        read go < "$BANGER_HOME/go"
        echo ready > "$ready""#,
    );
    let (started, go) = (home.fifo("started"), home.fifo("go"));
    let mut from_script = pipe::OpenOptions::new().read_write(true).open_receiver(started).unwrap();
    // The old daemon's process is one that we may end: the program must wait for that.
    let mut process = Command::new("sleep").arg("1000").kill_on_drop(true).spawn().unwrap();
    let old = Daemon::listen(home.path());
    old.script(|script| {
        script.info.version = "0.0.1".into();
        script.info.pid = process.id().unwrap();
    });
    let child = home.banger(&["vm", "list"]).spawn().unwrap();
    old.requested("POST /v1/shutdown").await;
    drop(old);
    fs::remove_file(home.path().join("run/bangerd.sock")).unwrap();
    process.kill().await.unwrap();
    from_script.read_u8().await.unwrap();
    let new = Daemon::listen(home.path());
    tokio::task::spawn_blocking(move || fs::write(go, "go\n").unwrap()).await.unwrap();
    let told = told(child).await;
    assert_eq!((told.status, told.stderr.as_str()), (Some(0), ""));
    assert_eq!(new.requests(), ["GET /v1/info", "GET /v1/vms"]);
}

#[tokio::test]
async fn a_newer_daemon_of_another_api_is_left_alone() {
    let stage = Stage::new();
    stage.daemon.script(|script| {
        script.info = info();
        script.info.version = "99.0.0".into();
        script.info.api_version = 99;
    });
    let told = run(stage.banger(&["vm", "list"])).await;
    assert_eq!(told.status, Some(1));
    assert!(
        told.stderr.starts_with("banger: the daemon is banger 99.0.0, newer than this banger"),
        "{told:?}"
    );
    assert!(!stage.daemon.requests().contains(&"POST /v1/shutdown".to_owned()));
}

#[tokio::test]
async fn a_daemon_that_stays_silent_is_given_up_at_the_deadline() {
    let stage = Stage::new();
    stage.daemon.script(|script| script.silent.push("GET /v1/info".into()));
    let told = run(stage.banger(&["vm", "list"])).await;
    assert_eq!(told.status, Some(1));
    let expected = "banger: cannot connect to the daemon: the daemon did not answer `/v1/info` within 10 s\n\
        hint: stop it; VMs keep running: banger daemon stop --force\n";
    assert_eq!(told.stderr, expected);
}

#[tokio::test]
async fn a_daemon_that_hangs_can_be_ended_by_force() {
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("run/bangerd.sock");
    fs::create_dir(home.path().join("run")).unwrap();
    // Listens and never answers. The listener belongs to this process, which must not be the one that dies.
    let mut hanging = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "start::listen_and_hang", "--ignored", "--nocapture"])
        .env("HANG_ON", &socket)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(hanging.stdout.take().unwrap()).lines();
    while stdout.next_line().await.unwrap().unwrap() != "listening" {}
    let told = run(banger(home.path(), &["daemon", "stop", "--force"])).await;
    assert_eq!((told.status, told.stdout.as_str()), (Some(0), ""));
    assert_eq!(told.stderr, "killed the daemon; VMs keep running\n");
    assert_eq!(status(&mut hanging).await.signal(), Some(9));
}

#[test]
#[ignore = "a part of the test before it"]
fn listen_and_hang() {
    let Some(socket) = std::env::var_os("HANG_ON") else { return };
    let _listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
    println!("\nlistening");
    loop {
        std::thread::park();
    }
}
