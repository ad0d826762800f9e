//! Follows a machine's process to its end, then removes what it leaves: companions, sockets.
//!
//! Who waits for the end sees it after the cleaning, so that the next machine may take the same places.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use banger_sys::files::remove_any;
use banger_sys::launch::Started;
use banger_sys::process::{ProcessHandle, ProcessIdentity};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use crate::contract::MachineEnd;

/// How long a companion may take to see that its machine has gone.
const COMPANION_DEADLINE: Duration = Duration::from_secs(1);

/// The processes that are ended with a machine. They change when one of them is started again.
#[derive(Clone, Debug, Default)]
pub(super) struct CompanionList(Arc<Mutex<Vec<ProcessIdentity>>>);

impl CompanionList {
    pub(super) fn add(&self, process: ProcessIdentity) {
        self.lock().push(process);
    }

    fn all(&self) -> Vec<ProcessIdentity> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<ProcessIdentity>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A process that is followed to its end.
pub(super) struct Lifetime {
    process: ProcessIdentity,
    companions: CompanionList,
    end: watch::Receiver<Option<MachineEnd>>,
    end_token: CancellationToken,
    // Dropping the machine gives up the following: a child is then reaped by the runtime.
    _follower: AbortOnDropHandle<()>,
}

impl Lifetime {
    pub(super) fn of_started(
        started: Started,
        companions: Vec<ProcessIdentity>,
        leftovers: Vec<PathBuf>,
    ) -> Self {
        let process = started.identity;
        let child = started.release();
        let ended = async move {
            match child {
                Some(mut child) => child.ended().await.map_or(MachineEnd::Unknown, MachineEnd::from),
                None => MachineEnd::Unknown,
            }
        };
        Self::follow(process, ended, companions, leftovers)
    }

    pub(super) fn of_stranger(
        handle: ProcessHandle,
        process: ProcessIdentity,
        companions: Vec<ProcessIdentity>,
        leftovers: Vec<PathBuf>,
    ) -> Self {
        let ended = async move {
            if let Err(error) = handle.ended().await {
                warn!(pid = process.pid, %error, "cannot watch the machine's process");
            }
            MachineEnd::Unknown
        };
        Self::follow(process, ended, companions, leftovers)
    }

    fn follow(
        process: ProcessIdentity,
        ended: impl Future<Output = MachineEnd> + Send + 'static,
        companions: Vec<ProcessIdentity>,
        leftovers: Vec<PathBuf>,
    ) -> Self {
        let (sender, end) = watch::channel(None);
        let companions = CompanionList(Arc::new(Mutex::new(companions)));
        let beside = companions.clone();
        let end_token = CancellationToken::new();
        let token = end_token.clone();
        let follower = tokio::spawn(async move {
            let how = ended.await;
            clean_up(&beside.all(), leftovers).await;
            info!(pid = process.pid, ?how, "machine ended");
            sender.send_replace(Some(how));
            token.cancel();
        });
        Self { process, companions, end, end_token, _follower: AbortOnDropHandle::new(follower) }
    }

    pub(super) async fn ended(&self) -> MachineEnd {
        let mut end = self.end.clone();
        // The sender goes away unsent only when the runtime itself ends.
        end.wait_for(Option::is_some)
            .await
            .map_or(MachineEnd::Unknown, |end| end.unwrap_or(MachineEnd::Unknown))
    }

    pub(super) fn kill(&self) -> io::Result<()> {
        self.process.kill()
    }

    /// What is ended with the process.
    pub(super) fn companions(&self) -> CompanionList {
        self.companions.clone()
    }

    pub(super) fn end_token(&self) -> CancellationToken {
        self.end_token.clone()
    }
}

/// Ends the companions and removes the leftovers. Every step runs; what fails is told in the log.
pub(crate) async fn clean_up(companions: &[ProcessIdentity], leftovers: Vec<PathBuf>) {
    for companion in companions {
        if let Err(error) = end_companion(*companion).await {
            warn!(pid = companion.pid, %error, "cannot end a companion of the machine");
        }
    }
    for path in leftovers {
        if let Err(error) = remove(&path) {
            warn!(path = %path.display(), %error, "cannot remove what the machine left");
        }
    }
}

/// A cgroup goes as if it were empty, and cannot be emptied. No link is followed: the directory may be one that the machine
/// wrote to.
fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir(path) {
        Err(_no_empty_directory) => remove_any(path),
        removed => removed,
    }
}

async fn end_companion(companion: ProcessIdentity) -> io::Result<()> {
    let Some(process) = companion.open()? else { return Ok(()) };
    if let Ok(ended) = tokio::time::timeout(COMPANION_DEADLINE, process.ended()).await {
        return ended;
    }
    process.signal(rustix::process::Signal::KILL)?;
    process.ended().await
}
