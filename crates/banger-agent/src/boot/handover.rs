//! Starts the agent and then becomes the image's init.

use std::{
    convert::Infallible,
    fs, io,
    os::{fd::AsFd, unix::process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::Access,
};

use super::{reaper, temporary};
use crate::{
    console, control, invocation,
    respawn::{self, PATH},
    way_out,
};

/// How long the init waits for the identity, so that its services see the right name and address.
const IDENTITY_DEADLINE: Duration = Duration::from_secs(10);

/// The usual paths of an image's init.
const INITS: [&str; 4] = ["/sbin/init", "/lib/systemd/systemd", "/usr/lib/systemd/systemd", "/etc/init"];

const NO_INIT_WANTED: &str = "none";

/// The agent cannot be started, so nobody could reach the guest.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the agent")]
pub(super) struct HandoverError {
    source: io::Error,
}

/// Starts the agent, waits for the identity, then becomes the init.
pub(super) fn hand_over(wanted: Option<&Path>) -> Result<Infallible, HandoverError> {
    let init = find_init(wanted);
    if init.as_deref().is_some_and(is_systemd) {
        temporary::prepare(Path::new("/"));
        way_out::add_slice(Path::new("/"));
    }
    let mut agent = start_agent(init.as_deref()).map_err(|source| HandoverError { source })?;
    wait_for_identity(&mut agent);
    if let Some(init) = init {
        let error = become_init(&init);
        console::error(&error);
    }
    reaper::reap_for_ever(agent.id())
}

/// With [`NO_INIT_WANTED`] the host requests a guest without an init, whatever the image contains.
fn find_init(wanted: Option<&Path>) -> Option<PathBuf> {
    if wanted == Some(Path::new(NO_INIT_WANTED)) {
        return None;
    }
    wanted
        .into_iter()
        .chain(INITS.iter().map(Path::new))
        .find(|path| path.is_file() && rustix::fs::access(*path, Access::EXEC_OK).is_ok())
        .map(Path::to_owned)
}

fn is_systemd(init: &Path) -> bool {
    control::Init::of_program(&real_program(init)) == control::Init::Systemd
}

fn start_agent(init: Option<&Path>) -> io::Result<Child> {
    let init = init.map_or_else(|| PathBuf::from(invocation::NO_INIT), real_program);
    respawn::command(&init).stdout(Stdio::piped()).spawn()
}

/// Follows links, because `/sbin/init` is a name for many programs.
fn real_program(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn wait_for_identity(agent: &mut Child) {
    let Some(word) = agent.stdout.take() else { return };
    let deadline = Instant::now() + IDENTITY_DEADLINE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
        match poll(&mut [PollFd::from_borrowed_fd(word.as_fd(), PollFlags::IN)], Some(&left)) {
            // The identity did not arrive in time, so the init starts without it.
            Ok(0) => return console::warning("no identity yet, the init starts without"),
            // Only one word is ever sent; an end means that the agent died.
            Ok(_) => return,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return console::error(&error),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("cannot run the init `{}`", path.display())]
struct InitError {
    path: PathBuf,
    source: io::Error,
}

/// Returns only on failure.
fn become_init(path: &Path) -> InitError {
    let mut command = Command::new(path);
    command.env_clear().env("PATH", PATH).env("HOME", "/").env("TERM", "linux");
    if is_systemd(path) {
        command.env("NOTIFY_SOCKET", control::NOTIFY_ADDRESS);
    }
    InitError { path: path.to_owned(), source: command.exec() }
}
