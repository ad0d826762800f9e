//! Keeps a machine's network up: its process can be killed or fail, and neither the VMM nor the guest notices. Where the
//! driver can, it is started again, each time after a longer pause; connections that went through it are broken.

use std::io;
use std::time::Duration;

use async_trait::async_trait;
use banger_model::NetworkTrouble;
use banger_sys::process::ProcessIdentity;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::lifetime::CompanionList;
use crate::contract::StartError;

/// How long after its network a machine may take to end: then both have one cause, and nothing is lost.
const END_WAIT: Duration = Duration::from_secs(1);
/// A process that has lived so long after its start does its work.
const PROOF: Duration = Duration::from_secs(1);
/// One that has lived so long did not fail for the reason of the one before it.
const SETTLED: Duration = Duration::from_mins(1);
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// Starts the network of a running machine again.
#[async_trait]
pub(crate) trait RestartNetwork: Send + Sync {
    /// Starts it, joins it to the machine, notes it in the machine's handle, and lets it live as long as the machine.
    async fn restart(&self) -> Result<ProcessIdentity, StartError>;
}

/// Begins to keep the network of these processes up. The task lives as long as the machine is held; the receiver tells what
/// is wrong. `beside` learns of every process that is started.
pub(super) fn keep(
    processes: Vec<ProcessIdentity>,
    restart: Option<Box<dyn RestartNetwork>>,
    beside: CompanionList,
    end: CancellationToken,
) -> (watch::Receiver<Option<NetworkTrouble>>, AbortOnDropHandle<()>) {
    let (trouble, state) = watch::channel(None);
    let task = tokio::spawn(async move {
        tokio::select! {
            () = end.cancelled() => {}
            () = keep_up(processes, restart, beside, trouble) => {}
        }
    });
    (state, AbortOnDropHandle::new(task))
}

async fn keep_up(
    mut processes: Vec<ProcessIdentity>,
    restart: Option<Box<dyn RestartNetwork>>,
    beside: CompanionList,
    trouble: watch::Sender<Option<NetworkTrouble>>,
) {
    let mut pause = Duration::ZERO;
    while !processes.is_empty() {
        let watched_since = Instant::now();
        let pid = first_to_end(&processes).await;
        if watched_since.elapsed() > SETTLED {
            pause = Duration::ZERO;
        }
        tokio::time::sleep(END_WAIT).await;
        warn!(pid, "the machine's network process has ended");
        let Some(restart) = &restart else {
            trouble.send_replace(Some(NetworkTrouble::Lost));
            // What it tells is of interest for as long as the machine lives.
            return std::future::pending().await;
        };
        trouble.send_replace(Some(NetworkTrouble::Restarting));
        let process = loop {
            tokio::time::sleep(pause).await;
            pause = next_pause(pause);
            match try_once(restart.as_ref(), &beside).await {
                Ok(process) => break process,
                Err(error) => warn!(%error, "cannot restart the machine's network"),
            }
        };
        info!(pid = process.pid, "the machine's network has been restarted");
        trouble.send_replace(None);
        processes = vec![process];
    }
    std::future::pending::<()>().await;
}

async fn try_once(
    restart: &dyn RestartNetwork,
    beside: &CompanionList,
) -> Result<ProcessIdentity, io::Error> {
    let process = restart.restart().await.map_err(io::Error::other)?;
    beside.add(process);
    match tokio::time::timeout(PROOF, first_to_end(&[process])).await {
        Ok(_pid) => Err(io::Error::other("its process ended at once")),
        Err(_lives) => Ok(process),
    }
}

fn next_pause(pause: Duration) -> Duration {
    (pause * 2).clamp(PAUSE_MIN, PAUSE_MAX)
}

/// Waits for the first end and returns whose it was.
async fn first_to_end(processes: &[ProcessIdentity]) -> u32 {
    let ends = processes.iter().map(|process| Box::pin(ended(*process)));
    futures::future::select_all(ends).await.0
}

async fn ended(process: ProcessIdentity) -> u32 {
    let waited = async {
        match process.open()? {
            Some(open) => open.ended().await,
            None => Ok(()),
        }
    };
    if let Err(error) = waited.await {
        warn!(pid = process.pid, %error, "cannot watch the machine's network process");
        std::future::pending::<()>().await;
    }
    process.pid
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::process::{Child, Command};

    use super::*;

    /// Starts processes that live, after some that do not.
    struct Restarts {
        failures: usize,
        tries: AtomicUsize,
        children: std::sync::Mutex<Vec<Child>>,
    }

    #[async_trait]
    impl RestartNetwork for Arc<Restarts> {
        async fn restart(&self) -> Result<ProcessIdentity, StartError> {
            let is_failure = self.tries.fetch_add(1, Ordering::SeqCst) < self.failures;
            let child = process(if is_failure { "0" } else { "1000" });
            let identity = ProcessIdentity { pid: child.id().unwrap(), start_ticks: 0 };
            let identity = ProcessIdentity::of(identity.pid).unwrap_or(identity);
            self.children.lock().unwrap().push(child);
            Ok(identity)
        }
    }

    fn process(seconds: &str) -> Child {
        Command::new("sleep").arg(seconds).kill_on_drop(true).spawn().unwrap()
    }

    async fn told(state: &mut watch::Receiver<Option<NetworkTrouble>>) -> Option<NetworkTrouble> {
        state.changed().await.unwrap();
        *state.borrow_and_update()
    }

    #[tokio::test]
    async fn a_network_that_ends_is_started_again_until_it_lives() {
        let restarts =
            Arc::new(Restarts { failures: 1, tries: AtomicUsize::new(0), children: Vec::new().into() });
        let mut first = process("1000");
        let identity = ProcessIdentity::of(first.id().unwrap()).unwrap();
        let end = CancellationToken::new();
        let (mut state, _task) =
            keep(vec![identity], Some(Box::new(Arc::clone(&restarts))), CompanionList::default(), end);
        first.kill().await.unwrap();
        assert_eq!(told(&mut state).await, Some(NetworkTrouble::Restarting));
        assert_eq!(told(&mut state).await, None);
        assert_eq!(restarts.tries.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_network_that_cannot_be_started_again_is_lost_for_good() {
        let mut first = process("1000");
        let identity = ProcessIdentity::of(first.id().unwrap()).unwrap();
        let (mut state, _task) =
            keep(vec![identity], None, CompanionList::default(), CancellationToken::new());
        first.kill().await.unwrap();
        assert_eq!(told(&mut state).await, Some(NetworkTrouble::Lost));
    }

    #[tokio::test]
    async fn a_machine_that_ends_with_its_network_has_lost_nothing() {
        let mut first = process("1000");
        let identity = ProcessIdentity::of(first.id().unwrap()).unwrap();
        let end = CancellationToken::new();
        let (mut state, task) = keep(vec![identity], None, CompanionList::default(), end.clone());
        first.kill().await.unwrap();
        end.cancel();
        task.await.unwrap();
        assert!(state.changed().await.is_err());
        assert_eq!(*state.borrow(), None);
    }

    #[test]
    fn pauses_grow_up_to_a_minute() {
        let pauses = std::iter::successors(Some(Duration::ZERO), |pause| Some(next_pause(*pause)));
        let seconds: Vec<_> = pauses.take(9).map(|pause| pause.as_secs()).collect();
        assert_eq!(seconds, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
    }
}
