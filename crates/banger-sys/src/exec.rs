//! Running tools of the host, with an argument list (never a shell), a deadline, and a record of stderr.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use crate::host::{find_program, find_program_on};
use crate::inheritance::{Heir, limit};

/// Maximum number of bytes that are kept of a tool's stderr: its end.
const STDERR_BYTES_MAX: usize = 16 * 1024;
/// Maximum number of bytes that [`Tool::run`] takes from a tool's stdout. What tools answer is shorter; a tool that streams
/// more is read by [`Tool::run_with`].
const STDOUT_BYTES_MAX: u64 = 64 << 20;

/// The reason why a tool gave no result.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum ToolError {
    #[error("the program `{tool}` is not installed")]
    Missing { tool: String },
    /// The tool could not be started, or its pipes could not be read.
    #[error("cannot run `{tool}`")]
    Run { tool: String, source: io::Error },
    #[error("`{tool}` failed ({status}){}", stderr_note(.stderr))]
    Failed {
        tool: String,
        status: ExitStatus,
        /// The end of its stderr.
        stderr: String,
    },
    #[error("`{tool}` did not finish within {} s{}", .deadline.as_secs(), stderr_note(.stderr))]
    TooSlow {
        tool: String,
        deadline: Duration,
        /// The end of its stderr.
        stderr: String,
    },
    #[error("`{tool}` wrote more than {} MiB to its standard output", .bytes_max >> 20)]
    TooMuchOutput { tool: String, bytes_max: u64 },
    #[error("`{tool}` was about to write a file larger than {} MiB", .bytes_max >> 20)]
    FileTooLarge { tool: String, bytes_max: u64 },
}

fn stderr_note(stderr: &str) -> String {
    let text = stderr.trim();
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

/// One call of a tool.
#[derive(Debug)]
pub struct Tool {
    name: String,
    arguments: Vec<OsString>,
    input: Option<Vec<u8>>,
    environment: Vec<(OsString, OsString)>,
    directory: Option<PathBuf>,
    search_path: Option<OsString>,
    umask: Option<u32>,
    file_bytes_max: Option<u64>,
    deadline: Duration,
}

impl Tool {
    /// Prepares a call of the program with this name, found on `PATH`, with a deadline of 60 s.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            arguments: Vec::new(),
            input: None,
            environment: Vec::new(),
            directory: None,
            search_path: None,
            umask: None,
            file_bytes_max: None,
            deadline: Duration::from_secs(60),
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets the tool's stdin; by default it is empty.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// Sets one variable of the tool's environment.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Looks for the tool on this `PATH` instead of ours, and passes this `PATH` on to it.
    #[must_use]
    pub fn search_path(mut self, path: impl Into<OsString>) -> Self {
        self.search_path = Some(path.into());
        self
    }

    /// Runs the tool in this directory.
    #[must_use]
    pub fn current_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Runs the tool with this umask instead of ours, because files that it makes for others must be readable to them.
    #[must_use]
    pub fn umask(mut self, umask: u32) -> Self {
        self.umask = Some(umask);
        self
    }

    /// Keeps the tool and its children from writing a file that is larger than this: what they download from strangers has
    /// an end.
    #[must_use]
    pub fn file_bytes_max(mut self, bytes_max: u64) -> Self {
        self.file_bytes_max = Some(bytes_max);
        self
    }

    /// Kills the tool after this time.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Runs the tool to its end and returns its stdout. Dropping the future kills the tool.
    ///
    /// # Errors
    /// [`ToolError`]; [`ToolError::TooMuchOutput`] beyond 64 MiB.
    pub async fn run(self) -> Result<Vec<u8>, ToolError> {
        self.run_within(STDOUT_BYTES_MAX).await
    }

    async fn run_within(self, bytes_max: u64) -> Result<Vec<u8>, ToolError> {
        let (tool, mut is_too_much) = (self.name.clone(), false);
        let output = self.run_with(async |stdout| {
            let mut output = Vec::new();
            stdout.take(bytes_max.saturating_add(1)).read_to_end(&mut output).await?;
            is_too_much = u64::try_from(output.len()).is_ok_and(|length| length > bytes_max);
            Ok(output)
        });
        let output = output.await;
        // A tool whose stdout is closed fails as well: that is not the reason.
        if is_too_much { Err(ToolError::TooMuchOutput { tool, bytes_max }) } else { output }
    }

    /// Runs the tool to its end while `consume` reads its stdout. Dropping the future kills the tool, with everything in its
    /// process group.
    ///
    /// # Errors
    /// [`ToolError`]; a failure of the tool takes precedence over one of the reader.
    pub async fn run_with<T>(
        self,
        consume: impl AsyncFnOnce(tokio::process::ChildStdout) -> io::Result<T>,
    ) -> Result<T, ToolError> {
        let found = match &self.search_path {
            Some(path) => find_program_on(path, &self.name),
            None => find_program(&self.name),
        };
        let program = found.ok_or_else(|| ToolError::Missing { tool: self.name.clone() })?;
        let failed = |source| ToolError::Run { tool: self.name.clone(), source };
        let mut command = Command::new(program);
        limit(command.as_std_mut(), Heir::Tool);
        command
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("LC_ALL", "C.UTF-8")
            .stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if let Some(path) = &self.search_path {
            command.env("PATH", path);
        }
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        if let Some(umask) = self.umask {
            set_umask(&mut command, umask);
        }
        if let Some(bytes_max) = self.file_bytes_max {
            limit_files(&mut command, bytes_max);
        }
        tracing::debug!(tool = self.name, arguments = ?self.arguments, "tool starts");
        let mut child = command.spawn().map_err(failed)?;
        let group = GroupGuard(child.id());
        let missing_pipe = || failed(io::Error::other("no pipe"));
        let stdout = child.stdout.take().ok_or_else(missing_pipe)?;
        let stderr = child.stderr.take().ok_or_else(missing_pipe)?;
        let stdin = child.stdin.take();
        let feed = async {
            if let (Some(mut stdin), Some(input)) = (stdin, &self.input) {
                // A tool that does not read all of its input may not need it.
                let _ = stdin.write_all(input).await;
            }
        };
        let mut kept = Vec::new();
        let work = async {
            let (consumed, _, (), status) =
                tokio::join!(consume(stdout), keep_end(stderr, &mut kept), feed, child.wait());
            (consumed, status)
        };
        let ended = tokio::time::timeout(self.deadline, work).await;
        let stderr = String::from_utf8_lossy(&kept).into_owned();
        let Ok((consumed, status)) = ended else {
            return Err(ToolError::TooSlow { tool: self.name.clone(), deadline: self.deadline, stderr });
        };
        group.disarm();
        let status = status.map_err(failed)?;
        if let Some(bytes_max) = self.file_bytes_max
            && was_limited(status, &stderr)
        {
            return Err(ToolError::FileTooLarge { tool: self.name.clone(), bytes_max });
        }
        if !status.success() {
            return Err(ToolError::Failed { tool: self.name.clone(), status, stderr });
        }
        consumed.map_err(failed)
    }
}

#[expect(unsafe_code, reason = "a process's umask can only be set between fork and exec")]
fn set_umask(command: &mut Command, umask: u32) {
    let umask = rustix::fs::Mode::from_raw_mode(umask);
    // SAFETY: umask(2) is async-signal-safe and touches nothing of the parent's memory.
    unsafe {
        command.pre_exec(move || {
            rustix::process::umask(umask);
            Ok(())
        });
    }
}

#[expect(
    unsafe_code,
    reason = "a process's limits are set between fork and exec, before it can write anything"
)]
fn limit_files(command: &mut Command, bytes_max: u64) {
    let limit = Rlimit { current: Some(bytes_max), maximum: Some(bytes_max) };
    // SAFETY: setrlimit(2) is a plain system call and touches nothing of the parent's memory.
    unsafe {
        command.pre_exec(move || Ok(setrlimit(Resource::Fsize, limit)?));
    }
}

/// Tells whether a tool failed at the limit of its files: it was ended by the signal, or its child was and it says so.
/// Source: `setrlimit(2)`, `RLIMIT_FSIZE`.
fn was_limited(status: ExitStatus, stderr: &str) -> bool {
    let is_signal = status.signal() == Some(Signal::XFSZ.as_raw());
    is_signal || (!status.success() && stderr.contains("File too large"))
}

/// Kills the whole process group if the run is abandoned.
struct GroupGuard(Option<u32>);

impl GroupGuard {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for GroupGuard {
    fn drop(&mut self) {
        let pid = self.0.and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }
}

async fn keep_end(mut stderr: impl AsyncRead + Unpin, kept: &mut Vec<u8>) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let count = stderr.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        kept.extend_from_slice(buffer.get(..count).unwrap_or_default());
        if kept.len() > STDERR_BYTES_MAX {
            kept.drain(..kept.len() - STDERR_BYTES_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn arguments_reach_the_tool_as_they_are() {
        let output = Tool::new("printf").args(["%s|", "a b", "", "$HOME"]).run().await.unwrap();
        assert_eq!(output, b"a b||$HOME|");
    }

    #[tokio::test]
    async fn input_reaches_the_tool_and_ends() {
        let long = vec![b'x'; 1 << 20];
        assert_eq!(Tool::new("cat").input(long.clone()).run().await.unwrap(), long);
        assert_eq!(Tool::new("cat").run().await.unwrap(), b"");
        Tool::new("true").input(long).run().await.unwrap();
    }

    #[tokio::test]
    async fn a_failure_tells_what_the_tool_said() {
        let error = Tool::new("sh").args(["-c", "echo broken >&2; exit 3"]).run().await.unwrap_err();
        assert_eq!(error.to_string(), "`sh` failed (exit status: 3): broken");
    }

    #[tokio::test]
    async fn a_tool_has_the_umask_that_it_was_given() {
        let output = Tool::new("sh").args(["-c", "umask"]).umask(0o027).run().await.unwrap();
        assert_eq!(output, b"0027\n");
    }

    #[tokio::test]
    async fn a_tool_that_writes_without_end_is_told_and_its_output_is_not_kept() {
        let within = Tool::new("printf").arg("1234").run_within(4).await.unwrap();
        assert_eq!(within, b"1234");
        let error = Tool::new("yes").run_within(3 << 20).await.unwrap_err();
        assert_eq!(error.to_string(), "`yes` wrote more than 3 MiB to its standard output");
    }

    #[tokio::test]
    async fn a_tool_that_writes_too_large_a_file_is_told() {
        let directory = tempfile::tempdir().unwrap();
        for script in ["exec head -c 2M /dev/zero >list", "trap '' XFSZ; head -c 2M /dev/zero >list"] {
            let tool = Tool::new("sh").args(["-c", script]).current_dir(directory.path());
            let error = tool.file_bytes_max(1 << 20).run().await.unwrap_err();
            assert_eq!(error.to_string(), "`sh` was about to write a file larger than 1 MiB", "{script}");
            assert_eq!(std::fs::metadata(directory.path().join("list")).unwrap().len(), 1 << 20);
        }
    }

    #[tokio::test]
    async fn a_missing_tool_is_named() {
        let error = Tool::new("no-such-program-of-banger").run().await.unwrap_err();
        assert!(matches!(error, ToolError::Missing { tool } if tool == "no-such-program-of-banger"));
    }

    #[tokio::test]
    async fn a_tool_past_its_deadline_is_ended_with_its_children() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("alive");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)
            .unwrap();
        // The grandchild holds the fifo open; the read below ends when the last holder has ended.
        let script = format!("(exec 3>'{}'; sleep 1000) & wait", fifo.display());
        let run =
            tokio::spawn(Tool::new("sh").args(["-c", &script]).deadline(Duration::from_millis(300)).run());
        let reader = tokio::task::spawn_blocking(move || std::fs::read(fifo));
        assert!(matches!(run.await.unwrap(), Err(ToolError::TooSlow { .. })));
        assert_eq!(reader.await.unwrap().unwrap(), b"");
    }
}
