//! Finds the daemon of a state directory: at the place where this program looks for its socket; else through its lock, which
//! names its process and the socket where that listens. The two differ where the daemon was started with another
//! `XDG_RUNTIME_DIR`, and where somebody removed the socket.

use std::path::Path;

use banger_api::{DaemonInfo, route};
use banger_sys::lock_holder::LockHolder;
use banger_sys::paths::Paths;
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use crate::absent_daemon::{DAEMON_DEADLINE, EnsureError, LISTEN_DEADLINE, RETRY_PAUSE, nobody_listens};
use crate::client::Client;

/// What there is of a daemon.
#[derive(Debug)]
pub enum Found {
    /// One that answers.
    Listens(Client, DaemonInfo),
    /// A process that has the state directory, but cannot be reached.
    Lost(LockHolder),
    /// None.
    Nobody,
}

/// Finds the daemon; changes nothing.
///
/// # Errors
/// [`EnsureError::Ask`] of one that listens and does not answer; [`EnsureError::Lock`].
pub async fn find(paths: &Paths) -> Result<Found, EnsureError> {
    if let Some((client, info)) = ask(&paths.daemon_socket()).await? {
        return Ok(Found::Listens(client, info));
    }
    let Some(holder) = holder(paths)? else { return Ok(Found::Nobody) };
    if let Some(socket) = &holder.socket
        && let Some((client, info)) = ask(socket).await?
    {
        return Ok(Found::Listens(client, info));
    }
    Ok(Found::Lost(holder))
}

/// The process that has the state directory.
pub(crate) fn holder(paths: &Paths) -> Result<Option<LockHolder>, EnsureError> {
    let path = paths.daemon_lock();
    LockHolder::of(&path).map_err(|source| EnsureError::Lock { path, source })
}

async fn ask(socket: &Path) -> Result<Option<(Client, DaemonInfo)>, EnsureError> {
    let client = Client::new(socket);
    match client.get::<DaemonInfo>(route::SHOW_INFO).await {
        Ok(info) => Ok(Some((client, info))),
        Err(error) if nobody_listens(&error) => Ok(None),
        Err(source) => Err(EnsureError::Ask { source }),
    }
}

/// Waiting for a daemon that cannot be reached. One that starts or ends is given the time for that. One that says that it
/// listens, and does not, is asked once to listen anew.
#[derive(Debug, Default)]
pub(crate) struct Wait {
    asked_at: Option<Instant>,
}

impl Wait {
    /// Waits a moment; refuses when it has waited long enough.
    pub(crate) async fn pause(
        &mut self,
        paths: &Paths,
        holder: &LockHolder,
        begun: Instant,
    ) -> Result<(), EnsureError> {
        let is_over = match (&holder.socket, self.asked_at) {
            (None, _) => begun.elapsed() >= DAEMON_DEADLINE,
            (Some(_), None) => {
                self.asked_at = Some(Instant::now());
                ask_to_listen(holder)?;
                false
            }
            (Some(_), Some(asked_at)) => asked_at.elapsed() >= LISTEN_DEADLINE,
        };
        if is_over {
            return Err(lost(paths, holder));
        }
        sleep(RETRY_PAUSE).await;
        Ok(())
    }
}

/// A daemon that names its socket in its lock takes a hangup as this request.
fn ask_to_listen(holder: &LockHolder) -> Result<(), EnsureError> {
    let pid = holder.process.pid;
    let opened = holder.process.open();
    let asked = opened.and_then(|process| process.map_or(Ok(()), |process| process.signal(Signal::HUP)));
    asked.map_err(|source| EnsureError::Watch { pid, source })
}

/// The error of a daemon that cannot be reached.
#[must_use]
pub fn lost(paths: &Paths, holder: &LockHolder) -> EnsureError {
    let socket = holder.socket.clone().unwrap_or_else(|| paths.daemon_socket());
    EnsureError::Lost { pid: holder.process.pid, socket }
}
