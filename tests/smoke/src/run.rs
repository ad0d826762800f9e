//! One call of `banger`, as a shell makes it.

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use crate::programs;

/// A prepared call.
#[derive(Debug)]
pub struct Banger {
    command: Command,
    stdin: Option<Vec<u8>>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Exit status; 128 + n when signal n ended it.
    pub status: i32,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Banger {
    /// A call in this home.
    #[must_use]
    pub fn new(home: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(programs().join("banger"));
        command.args(arguments).env("BANGER_HOME", home).env("NO_COLOR", "1");
        Self { command, stdin: None }
    }

    /// Feeds this to its stdin.
    #[must_use]
    pub fn stdin(mut self, bytes: &[u8]) -> Self {
        self.stdin = Some(bytes.to_vec());
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn run(self) -> Answer {
        let output = self.start().wait_with_output();
        Answer::from(output.expect("`banger` can be waited for"))
    }

    /// Starts it and returns the process.
    ///
    /// # Panics
    /// When it cannot be started.
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
                // A program that does not read its stdin is fine.
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
