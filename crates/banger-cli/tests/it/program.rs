//! The program under test: its home, its start, what it said.

use std::path::Path;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::daemon::{DEADLINE, Daemon};

/// A home with a daemon in it.
pub(crate) struct Stage {
    pub(crate) home: TempDir,
    pub(crate) daemon: Daemon,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let daemon = Daemon::listen(home.path());
        Self { home, daemon }
    }

    pub(crate) fn banger(&self, arguments: &[&str]) -> Command {
        banger(self.home.path(), arguments)
    }
}

/// The program with this home. It finds no daemon to start, stdin is empty, and it dies with the test.
pub(crate) fn banger(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_banger"));
    command
        .args(arguments)
        .env("BANGER_HOME", home)
        .env("BANGERD", home.join("no-bangerd"))
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// What the program did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Waits for the end of the program.
pub(crate) async fn told(child: Child) -> Told {
    let output = tokio::time::timeout(DEADLINE, child.wait_with_output()).await.expect("it hangs").unwrap();
    Told {
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs it to its end.
pub(crate) async fn run(mut command: Command) -> Told {
    told(command.spawn().unwrap()).await
}

pub(crate) fn send(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

pub(crate) async fn status(child: &mut Child) -> ExitStatus {
    tokio::time::timeout(DEADLINE, child.wait()).await.expect("it hangs").unwrap()
}
