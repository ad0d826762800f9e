//! A daemon that runs, and whose socket is not where the program looks for it: its lock names its process.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use banger_sys::lock::FileLock;
use banger_sys::lock_holder::LockHolder;
use banger_sys::process::ProcessIdentity;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use crate::daemon::Daemon;
use crate::program::{banger, run, status, told};

/// A home with a lock that is held. The program that it would start is not there.
struct Home {
    directory: TempDir,
    lock: FileLock,
}

impl Home {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("state")).unwrap();
        let lock = FileLock::try_acquire(&directory.path().join("state/bangerd.lock")).unwrap().unwrap();
        Self { directory, lock }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn socket(&self) -> PathBuf {
        self.path().join("run/bangerd.sock")
    }

    fn held_by(&self, process: ProcessIdentity, socket: &Path) {
        LockHolder { process, socket: Some(socket.to_owned()) }.write(&self.lock).unwrap();
    }

    async fn tell(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let told = run(banger(self.path(), arguments)).await;
        (told.status, told.stdout, told.stderr)
    }
}

/// A process in the daemon's place, which takes a hangup for what it is to the daemon: no reason to end.
struct Process {
    child: Child,
    identity: ProcessIdentity,
}

impl Process {
    async fn ignoring(signals: &str) -> Self {
        let mut child = Command::new("sh")
            .args(["-c", &format!("trap '' {signals}; echo; exec sleep 1000")])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        child.stdout.as_mut().unwrap().read_u8().await.unwrap();
        let identity = ProcessIdentity::of(child.id().unwrap()).unwrap();
        Self { child, identity }
    }

    async fn ended(mut self) -> ExitStatus {
        status(&mut self.child).await
    }
}

#[tokio::test]
async fn a_daemon_that_listens_elsewhere_is_found_through_its_lock() {
    let home = Home::new();
    let elsewhere = home.path().join("elsewhere");
    let daemon = Daemon::listen(&elsewhere);
    let us = ProcessIdentity::of(std::process::id()).unwrap();
    home.held_by(us, &elsewhere.join("run/bangerd.sock"));
    let (status, _, stderr) = home.tell(&["vm", "list"]).await;
    assert_eq!((status, stderr.as_str()), (Some(0), ""));
    assert_eq!(daemon.requests(), ["GET /v1/info", "GET /v1/vms"]);
    let (_, stdout, _) = home.tell(&["daemon", "status"]).await;
    assert!(stdout.starts_with("state       running\n"), "{stdout}");
}

#[tokio::test]
async fn a_daemon_whose_socket_is_gone_is_asked_to_listen_anew() {
    let home = Home::new();
    // This process plays the daemon, and takes the hangup instead of ending by it.
    let mut hangups = signal(SignalKind::hangup()).unwrap();
    home.held_by(ProcessIdentity::of(std::process::id()).unwrap(), &home.socket());
    let child = banger(home.path(), &["vm", "list"]).spawn().unwrap();
    tokio::time::timeout(Duration::from_secs(10), hangups.recv()).await.expect("no hangup came").unwrap();
    let daemon = Daemon::listen(home.path());
    let told = told(child).await;
    assert_eq!((told.status, told.stderr.as_str()), (Some(0), ""));
    assert_eq!(daemon.requests(), ["GET /v1/info", "GET /v1/vms"]);
}

#[tokio::test]
async fn a_lost_daemon_is_told_with_its_process_and_ended_by_force() {
    let home = Home::new();
    let process = Process::ignoring("HUP").await;
    home.held_by(process.identity, &home.socket());
    let (pid, socket) = (process.identity.pid, home.socket());
    let refused = format!(
        "banger: the daemon runs as process {pid}, but does not listen on `{}`\n\
         hint: stop it; VMs keep running: banger daemon stop --force\n",
        socket.display()
    );
    assert_eq!(home.tell(&["vm", "list"]).await, (Some(1), String::new(), refused.clone()));
    assert_eq!(home.tell(&["daemon", "stop"]).await, (Some(1), String::new(), refused));
    let shown = format!("state       does not listen on `{}`\npid         {pid}\n", socket.display());
    let hint = "hint: stop it; VMs keep running: banger daemon stop --force\n";
    assert_eq!(home.tell(&["daemon", "status"]).await, (Some(0), shown, hint.to_owned()));
    let (_, stdout, _) = home.tell(&["daemon", "status", "--json"]).await;
    let value: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(value, json!({ "is_running": true, "is_reachable": false, "pid": pid, "socket": socket }));
    let stopped = "stopped the daemon; VMs keep running\n";
    let told = home.tell(&["daemon", "stop", "--force"]).await;
    assert_eq!(told, (Some(0), String::new(), stopped.to_owned()));
    assert_eq!(process.ended().await.signal(), Some(Signal::TERM.as_raw()));
}

#[tokio::test]
async fn a_lost_daemon_that_does_not_end_is_killed() {
    let home = Home::new();
    let process = Process::ignoring("HUP TERM").await;
    home.held_by(process.identity, &home.socket());
    assert_eq!(home.tell(&["daemon", "stop", "--force"]).await.0, Some(0));
    assert_eq!(process.ended().await.signal(), Some(Signal::KILL.as_raw()));
}

#[tokio::test]
async fn a_process_that_only_has_the_daemons_pid_is_left_alone() {
    let home = Home::new();
    let mut process = Process::ignoring("HUP").await;
    let start_ticks = process.identity.start_ticks + 1;
    home.held_by(ProcessIdentity { start_ticks, ..process.identity }, &home.socket());
    let told = home.tell(&["daemon", "stop", "--force"]).await;
    assert_eq!(told, (Some(0), String::new(), "the daemon is not running\n".to_owned()));
    assert!(process.child.try_wait().unwrap().is_none());
    home.held_by(process.identity, &home.socket());
    let Home { directory, lock } = home;
    drop(lock);
    let told = run(banger(directory.path(), &["daemon", "stop", "--force"])).await;
    assert_eq!(told.stderr, "the daemon is not running\n", "nobody holds the lock");
    assert!(process.child.try_wait().unwrap().is_none());
}
