//! Starts the daemon's process: in a session of its own, so that no signal of our terminal reaches it, and with one
//! pipe through which it tells that it is ready. That is an event: nothing is asked again and again.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use banger_sys::host::find_program;
use banger_sys::inheritance::{Heir, limit};
use banger_sys::paths::Paths;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;

/// Longest line that the daemon may say.
const LINE_BYTES_MAX: u64 = 16 * 1024;

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum SpawnError {
    #[error("the program `bangerd` is neither beside `banger` nor on PATH")]
    Missing,
    #[error("cannot start `{}`", program.display())]
    Start { program: PathBuf, source: io::Error },
    #[error("the daemon cannot start: {sentence}")]
    Refused { sentence: String },
    #[error("the daemon ended before it was ready")]
    Ended { log: PathBuf },
    #[error("the daemon was not ready within {} s", .deadline.as_secs())]
    NotReady { deadline: Duration, log: PathBuf },
}

/// What became of a start.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Started {
    Ready,
    /// Another one was faster.
    AlreadyRunning,
}

/// Starts the daemon and waits until it is ready.
///
/// # Errors
/// [`SpawnError`].
pub(crate) async fn start(paths: &Paths, deadline: Duration) -> Result<Started, SpawnError> {
    let program = find().ok_or(SpawnError::Missing)?;
    let ready = spawn(&program).map_err(|source| SpawnError::Start { program, source })?;
    let mut line = String::new();
    let mut limited = ready.take(LINE_BYTES_MAX);
    let read = limited.read_to_string(&mut line);
    let log = paths.daemon_log();
    match tokio::time::timeout(deadline, read).await {
        Err(_elapsed) => Err(SpawnError::NotReady { deadline, log }),
        // What is no text is as good as nothing.
        Ok(_read) => understand(&line).unwrap_or(Err(SpawnError::Ended { log })),
    }
}

/// Reads what the daemon said before it closed the pipe; `None`: nothing.
fn understand(line: &str) -> Option<Result<Started, SpawnError>> {
    let line = line.trim_end();
    if line == "ready" {
        return Some(Ok(Started::Ready));
    }
    let sentence = line.strip_prefix("error: ")?;
    if sentence.starts_with("already running") {
        return Some(Ok(Started::AlreadyRunning));
    }
    Some(Err(SpawnError::Refused { sentence: sentence.to_owned() }))
}

fn find() -> Option<PathBuf> {
    if let Some(program) = std::env::var_os("BANGERD").filter(|program| !program.is_empty()) {
        return Some(program.into());
    }
    let ours = std::env::current_exe().ok();
    let sibling = ours.as_deref().and_then(Path::parent).map(|directory| directory.join("bangerd"));
    sibling.filter(|program| program.is_file()).or_else(|| find_program("bangerd"))
}

/// Starts it; returns the end of the pipe that we read.
fn spawn(program: &Path) -> io::Result<Receiver> {
    let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
    let mut command = Command::new(program);
    limit(&mut command, Heir::Daemon);
    command
        .arg("--ready-fd")
        .arg(theirs.as_raw_fd().to_string())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // The command owns our copy of their end: it is closed with the command, so that only the daemon holds the pipe.
    in_own_session(&mut command, theirs);
    command.spawn()?;
    drop(command);
    Receiver::from_owned_fd(ours)
}

#[expect(
    unsafe_code,
    reason = "a session of its own can only be made in the child, before it becomes the daemon"
)]
fn in_own_session(command: &mut Command, ready: OwnedFd) {
    // SAFETY: between fork and exec only two system calls are made; both are safe there and allocate nothing.
    unsafe {
        command.pre_exec(move || {
            rustix::process::setsid()?;
            fcntl_setfd(&ready, FdFlags::empty())?;
            Ok(())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_daemons_line_is_understood() {
        assert!(matches!(understand("ready\n"), Some(Ok(Started::Ready))));
        assert!(matches!(understand("error: already running\n"), Some(Ok(Started::AlreadyRunning))));
        let refused = understand("error: the database is of a newer version\n");
        assert!(
            matches!(refused, Some(Err(SpawnError::Refused { sentence })) if sentence.starts_with("the database"))
        );
        assert!(understand("").is_none());
        assert!(understand("rea").is_none());
    }
}
