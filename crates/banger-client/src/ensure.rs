//! Makes sure that a daemon of the right version listens: starts one where none does, replaces one that is older than
//! this program or whose file was replaced, and leaves one alone that is at work.
//!
//! ```text
//! find ─ nobody ─▶ start bangerd ─ ready ─▶ find
//!    │                └─ `already running`: another command was faster ─▶ find
//!    ├─ lost: it runs, but does not listen ─▶ it starts or ends, or is asked to listen anew ─▶ find, or refuse
//!    └─ somebody ─▶ judge ─ keep ─▶ done
//!                     ├─ replace ─▶ shut down, wait for its end ─▶ start bangerd
//!                     └─ refuse
//! ```

use std::path::PathBuf;

use crate::client::{Client, ClientError};
use banger_api::{API_VERSION, DaemonInfo, ErrorCode, ShutdownQuery, route};
use banger_sys::files::create_private_directory;
use banger_sys::lock_holder::LockHolder;
use banger_sys::paths::Paths;
use banger_sys::process::ProcessIdentity;
use banger_sys::socket::connect_following_links;
use rustix::process::Signal;
use tokio::time::{Instant, sleep, timeout};

use crate::VERSION;
use crate::absent_daemon::{DAEMON_DEADLINE, EnsureError, RETRY_PAUSE};
use crate::find::{Found, Wait, find, holder};
use crate::spawn::{self, Started};

/// What to do about a daemon that listens.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Keep,
    /// It is older, but at work.
    KeepForNow,
    Replace,
    Newer,
    AtWork,
}

fn judge(info: &DaemonInfo, our_version: &str, our_api: u32) -> Verdict {
    let theirs = version_numbers(&info.version);
    let ours = version_numbers(our_version);
    let speaks_ours = info.api_version == our_api;
    if theirs > ours && !speaks_ours && !info.is_outdated {
        return Verdict::Newer;
    }
    if speaks_ours && theirs >= ours && !info.is_outdated {
        return Verdict::Keep;
    }
    match (info.work_in_progress, speaks_ours) {
        (0, _) => Verdict::Replace,
        (_, true) => Verdict::KeepForNow,
        (_, false) => Verdict::AtWork,
    }
}

fn version_numbers(version: &str) -> Vec<u64> {
    let core = version.split(['-', '+']).next().unwrap_or_default();
    core.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

/// Is told of a daemon of another version that is busy, so that it was not replaced.
pub type OnKept = fn(&DaemonInfo);

/// Returns a client of a daemon of the right version; starts or replaces the daemon where that is needed, and again when
/// it goes away.
///
/// # Errors
/// [`EnsureError`].
pub async fn ensure(paths: &Paths, on_kept: OnKept) -> Result<Client, EnsureError> {
    let client = reach(paths, on_kept).await?;
    let paths = paths.clone();
    Ok(client.with_successor(move || {
        let paths = paths.clone();
        async move { reach(&paths, on_kept).await.is_ok() }
    }))
}

async fn reach(paths: &Paths, on_kept: OnKept) -> Result<Client, EnsureError> {
    let begun = Instant::now();
    let mut wait = Wait::default();
    loop {
        match find(paths).await {
            Ok(Found::Listens(client, info)) if accept(&client, &info, on_kept).await? => return Ok(client),
            Ok(Found::Listens(_, _) | Found::Nobody) => {}
            Ok(Found::Lost(holder)) => {
                wait.pause(paths, &holder, begun).await?;
                continue;
            }
            // It died with our connection in its queue. To ask who is there changes nothing, so it is asked again.
            Err(EnsureError::Ask { source: ClientError::Broken { .. } })
                if begun.elapsed() < DAEMON_DEADLINE =>
            {
                sleep(RETRY_PAUSE).await;
                continue;
            }
            Err(error) => return Err(error),
        }
        create_private_directory(&paths.runtime)
            .map_err(|source| EnsureError::RuntimeDirectory { source })?;
        match spawn::start(paths, DAEMON_DEADLINE).await.map_err(EnsureError::Spawn)? {
            Started::Ready => {}
            Started::AlreadyRunning if begun.elapsed() < DAEMON_DEADLINE => sleep(RETRY_PAUSE).await,
            Started::AlreadyRunning => {
                return Err(EnsureError::NotListening { socket: paths.daemon_socket() });
            }
        }
    }
}

/// Tells whether this daemon stays; one that does not has ended after this.
async fn accept(client: &Client, info: &DaemonInfo, on_kept: OnKept) -> Result<bool, EnsureError> {
    match judge(info, VERSION, API_VERSION) {
        Verdict::Keep => Ok(true),
        Verdict::KeepForNow => {
            on_kept(info);
            Ok(true)
        }
        Verdict::Replace => match end(client, info, false).await {
            Ok(()) => Ok(false),
            // Somebody gave it work in the meantime.
            Err(EnsureError::Ask { source: ClientError::Refused(body) })
                if body.code != ErrorCode::Unauthorized =>
            {
                if info.api_version != API_VERSION {
                    return Err(EnsureError::AtWork { daemon: info.version.clone() });
                }
                on_kept(info);
                Ok(true)
            }
            Err(error) => Err(error),
        },
        Verdict::Newer => Err(EnsureError::Newer { daemon: info.version.clone() }),
        Verdict::AtWork => Err(EnsureError::AtWork { daemon: info.version.clone() }),
    }
}

/// Asks the daemon to end and waits until its process has.
///
/// # Errors
/// [`EnsureError`]; [`EnsureError::Ask`] when it refuses because it is busy.
pub async fn end(client: &Client, info: &DaemonInfo, force: bool) -> Result<(), EnsureError> {
    let pid = info.pid;
    let watch = |source| EnsureError::Watch { pid, source };
    let process = match ProcessIdentity::of(pid) {
        Some(identity) => identity.open().map_err(watch)?,
        None => None,
    };
    let path = route::SHUT_DOWN.asking(&ShutdownQuery { force });
    client.post::<serde_json::Value>(path, &()).await.map_err(|source| EnsureError::Ask { source })?;
    let Some(process) = process else { return Ok(()) };
    match timeout(DAEMON_DEADLINE, process.ended()).await {
        Ok(ended) => ended.map_err(watch),
        Err(_elapsed) => Err(EnsureError::DoesNotEnd { pid }),
    }
}

/// Ends a daemon that does not answer. Its process is known from its lock or else from its socket.
///
/// # Errors
/// [`EnsureError`].
pub async fn end_silent(paths: &Paths) -> Result<(), EnsureError> {
    let identity = match holder(paths)? {
        Some(holder) => Some(holder.process),
        None => peer(paths.daemon_socket()).await?,
    };
    match identity {
        Some(identity) => end_process(identity, &[Signal::KILL]).await,
        None => Ok(()),
    }
}

async fn peer(socket: PathBuf) -> Result<Option<ProcessIdentity>, EnsureError> {
    let peer = connect_following_links(&socket).await.and_then(|stream| stream.peer_cred());
    let peer = peer.map_err(|source| EnsureError::Peer { socket, source })?;
    let pid = peer.pid().and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
    Ok(ProcessIdentity::of(pid))
}

/// Ends a daemon that cannot be reached: asks its process to end, and kills it if it does not.
///
/// # Errors
/// [`EnsureError`].
pub async fn end_lost(holder: &LockHolder) -> Result<(), EnsureError> {
    end_process(holder.process, &[Signal::TERM, Signal::KILL]).await
}

/// Sends the signals to a process, one after the other, until it has ended.
async fn end_process(identity: ProcessIdentity, signals: &[Signal]) -> Result<(), EnsureError> {
    let pid = identity.pid;
    let watch = |source| EnsureError::Watch { pid, source };
    let Some(process) = identity.open().map_err(watch)? else { return Ok(()) };
    for signal in signals {
        process.signal(*signal).map_err(watch)?;
        if let Ok(ended) = timeout(DAEMON_DEADLINE, process.ended()).await {
            return ended.map_err(watch);
        }
    }
    Err(EnsureError::DoesNotEnd { pid })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(version: &str, api_version: u32, is_outdated: bool, work_in_progress: u32) -> Verdict {
        let info = DaemonInfo {
            version: version.into(),
            api_version,
            pid: 1,
            started_at: String::new(),
            is_outdated,
            work_in_progress,
            resident_bytes: 0,
            disk_floor_bytes: None,
        };
        judge(&info, "0.10.0", 2)
    }

    #[test]
    fn a_daemon_that_is_as_new_as_we_are_stays() {
        assert_eq!(verdict("0.10.0", 2, false, 0), Verdict::Keep);
        assert_eq!(verdict("0.11.0", 2, false, 3), Verdict::Keep);
    }

    #[test]
    fn an_older_or_replaced_one_is_replaced_when_it_rests() {
        assert_eq!(verdict("0.9.0", 2, false, 0), Verdict::Replace);
        assert_eq!(verdict("0.9.0", 1, false, 0), Verdict::Replace);
        assert_eq!(verdict("0.10.0", 2, true, 0), Verdict::Replace);
    }

    #[test]
    fn one_at_work_stays_while_we_understand_each_other() {
        assert_eq!(verdict("0.9.0", 2, false, 1), Verdict::KeepForNow);
        assert_eq!(verdict("0.10.0", 2, true, 1), Verdict::KeepForNow);
        assert_eq!(verdict("0.9.0", 1, false, 1), Verdict::AtWork);
    }

    #[test]
    fn a_newer_one_that_speaks_another_version_is_left_alone() {
        assert_eq!(verdict("0.11.0", 3, false, 0), Verdict::Newer);
        assert_eq!(verdict("0.11.0", 3, false, 1), Verdict::Newer);
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(version_numbers("0.10.0") > version_numbers("0.9.9"));
        assert!(version_numbers("1.0.0-rc.1") >= version_numbers("1.0.0"));
    }
}
