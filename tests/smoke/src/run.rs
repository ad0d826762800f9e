//! One call of `banger`, as a shell makes it.

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::programs;

/// A prepared call.
#[derive(Debug)]
pub struct Banger {
    command: Command,
    shown: String,
    stdin: Option<Vec<u8>>,
}

/// The result of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say what the fields are")]
pub struct Answer {
    /// Exit status; 128 + n if signal n ended it.
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Banger {
    /// Prepares a call in this home.
    #[must_use]
    pub fn new(home: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(programs().join("banger"));
        command.args(arguments).env("BANGER_HOME", home).env("NO_COLOR", "1");
        Self { command, shown: format!("banger {}", arguments.join(" ")), stdin: None }
    }

    /// Sets its stdin.
    #[must_use]
    pub fn stdin(mut self, bytes: &[u8]) -> Self {
        self.stdin = Some(bytes.to_vec());
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs the call to its end, and prints it on stderr, so that a failed scenario shows its course.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn run(self) -> Answer {
        let (shown, begin) = (self.shown.clone(), Instant::now());
        let output = self.start().wait_with_output();
        let answer = Answer::from(output.expect("`banger` can be waited for"));
        eprintln!("$ {shown}   # {} after {:.2} s", answer.status, begin.elapsed().as_secs_f64());
        answer
    }

    /// Runs the call to its end, or kills it after this time.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn run_within(self, deadline: Duration) -> Answer {
        let child = self.start();
        let process =
            i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("the id of a process fits");
        let process = pidfd_open(process, PidfdFlags::empty()).expect("it was not waited for");
        let watcher = std::thread::spawn(move || {
            let timeout = Timespec::try_from(deadline).expect("a deadline of seconds");
            if let Ok(0) = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&timeout)) {
                // It may have ended at the last moment.
                let _ = pidfd_send_signal(&process, Signal::KILL);
            }
        });
        let output = child.wait_with_output().expect("`banger` can be waited for");
        watcher.join().expect("the watcher does not panic");
        Answer::from(output)
    }

    /// Starts the call and returns the process.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start(mut self) -> Child {
        let stdin = if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() };
        let mut child = self
            .command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("`banger` can be started");
        if let (Some(bytes), Some(mut pipe)) = (self.stdin, child.stdin.take()) {
            std::thread::spawn(move || {
                // It is not an error if a program does not read its stdin.
                let _ = pipe.write_all(&bytes);
            });
        }
        child
    }

    /// Returns the prepared command, for a terminal.
    #[must_use]
    pub fn into_command(self) -> Command {
        self.command
    }
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        Self {
            status: status_number(output.status),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Returns an exit status as a shell shows it.
pub(crate) fn status_number(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
