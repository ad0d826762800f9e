//! All operations at work and the latest that ended.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use banger_model::{ErrorCode, OperationKind, OperationState};
use futures::FutureExt as _;
use tracing::{Instrument as _, info, info_span, warn};

use super::id;
use super::request_key::{KeyReused, RequestKey};
use super::status::OperationStatus;
use super::task::{Cancelled, OperationTask};
use crate::facts::Outcome;
use crate::fault::Failure;
use crate::supervisor::Supervisor;

/// How many ended operations are kept for late askers.
const ENDED_MAX: usize = 200;
/// How long a long poll waits for a change.
const POLL_WAIT: Duration = Duration::from_secs(25);

/// The registry. Its lock is held for the moment of a look-up only.
#[derive(Clone)]
pub struct Operations {
    supervisor: Supervisor,
    all: Arc<Mutex<VecDeque<OperationTask>>>,
    /// The daemon ends: what begins now is cancelled at once.
    closed: Arc<AtomicBool>,
    observer: Arc<OnceLock<Observer>>,
}

type Observer = Arc<dyn Fn(&OperationStatus) + Send + Sync>;

impl std::fmt::Debug for Operations {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Operations").field("running", &self.count_running()).finish_non_exhaustive()
    }
}

impl Operations {
    /// An empty registry.
    #[must_use]
    pub fn new(supervisor: Supervisor) -> Self {
        Self { supervisor, all: Arc::default(), closed: Arc::default(), observer: Arc::default() }
    }

    /// Begins work that goes on without its caller.
    pub fn begin<F, W>(&self, kind: OperationKind, target: &str, work: W) -> OperationStatus
    where
        W: FnOnce(OperationTask) -> F,
        F: Future<Output = Result<Outcome, Failure>> + Send + 'static,
    {
        let task = OperationTask::new(new_id(), kind, target.to_owned(), None);
        remember(&mut self.lock(), task.clone());
        self.launch(task, kind, target, work)
    }

    /// As `begin`, but only once for a key: the same request is answered with the same operation.
    ///
    /// # Errors
    /// [`KeyReused`].
    pub fn begin_once<F, W>(
        &self,
        key: RequestKey,
        kind: OperationKind,
        target: &str,
        work: W,
    ) -> Result<OperationStatus, KeyReused>
    where
        W: FnOnce(OperationTask) -> F,
        F: Future<Output = Result<Outcome, Failure>> + Send + 'static,
    {
        let task = {
            // Looked up and remembered under one lock, so that of two callers at once one begins.
            let mut all = self.lock();
            if let Some(begun) = find_key(&all, &key)? {
                return Ok(begun);
            }
            let task = OperationTask::new(new_id(), kind, target.to_owned(), Some(key));
            remember(&mut all, task.clone());
            task
        };
        Ok(self.launch(task, kind, target, work))
    }

    /// Returns the operation that a request with this key has begun.
    ///
    /// # Errors
    /// [`KeyReused`].
    pub fn of_key(&self, key: &RequestKey) -> Result<Option<OperationStatus>, KeyReused> {
        find_key(&self.lock(), key)
    }

    fn launch<F, W>(&self, task: OperationTask, kind: OperationKind, target: &str, work: W) -> OperationStatus
    where
        W: FnOnce(OperationTask) -> F,
        F: Future<Output = Result<Outcome, Failure>> + Send + 'static,
    {
        if self.closed.load(Ordering::SeqCst) {
            task.cancel_because(Cancelled::DaemonStopped);
        }
        let span = info_span!("operation", op = task.id(), kind = ?kind, target);
        // On the heap at once: some work is large, and what wraps it would move it over the stack again and again.
        let future = Box::pin(work(task.clone()));
        let begun = task.status();
        let observer = self.observer.get().cloned();
        if let Some(observer) = &observer {
            observer(&begun);
        }
        let id = task.id().to_owned();
        let work = async move {
            run(&task, future).await;
            if let Some(observer) = observer {
                observer(&task.status());
            }
        };
        self.supervisor.spawn("operation", id::within(id, work).instrument(span));
        begun
    }

    /// Calls `observer` when an operation begins and when it has ended. The first observer stays.
    pub fn observe(&self, observer: impl Fn(&OperationStatus) + Send + Sync + 'static) {
        let _ = self.observer.set(Arc::new(observer));
    }

    /// Returns the operation when its revision is beyond `after`; else after its next change, or as it is when the
    /// wait has lasted long enough.
    pub async fn status(&self, id: &str, after: u64) -> Option<OperationStatus> {
        let mut changes = self.find(id)?.watch();
        // An error means that the sender is gone, and it is not: the registry holds it.
        let newer = changes.wait_for(|status| {
            // When the daemon ends, nobody can ask again: only the end is worth an answer.
            status.state.is_final() || (status.revision > after && !self.closed.load(Ordering::SeqCst))
        });
        if let Ok(Ok(status)) = tokio::time::timeout(POLL_WAIT, newer).await {
            return Some(status.clone());
        }
        Some(changes.borrow().clone())
    }

    /// Waits until the operation has ended. One that is not known has.
    pub async fn ended(&self, id: &str) {
        if let Some(task) = self.find(id) {
            // An error means that the operation is gone.
            let _ = task.watch().wait_for(|status| status.state.is_final()).await;
        }
    }

    /// Asks an operation to stop and returns it as it is now.
    #[must_use]
    pub fn cancel(&self, id: &str) -> Option<OperationStatus> {
        let task = self.find(id)?;
        task.cancel();
        Some(task.status())
    }

    /// Tells whether the daemon is ending: what is cancelled now was not cancelled by a user.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Asks all operations to stop, those too that begin from now on, and waits until they have.
    pub async fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        // Asked first, then waited for: the last one must not wait for the undo of those before it.
        self.snapshot().iter().for_each(|task| task.cancel_because(Cancelled::DaemonStopped));
        while let Some(task) = self.snapshot().into_iter().find(|task| !task.is_final()) {
            // An error means that the operation is gone.
            let _ = task.watch().wait_for(|status| status.state.is_final()).await;
        }
    }

    /// Returns all operations, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<OperationStatus> {
        self.snapshot().iter().map(OperationTask::status).collect()
    }

    /// Returns how many operations are at work.
    #[must_use]
    pub fn count_running(&self) -> usize {
        self.snapshot().iter().filter(|task| !task.is_final()).count()
    }

    fn snapshot(&self) -> Vec<OperationTask> {
        self.lock().iter().cloned().collect()
    }

    fn find(&self, id: &str) -> Option<OperationTask> {
        self.lock().iter().find(|task| task.id() == id).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<OperationTask>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The id that was minted when the request arrived, or a new one for work that nobody asked for.
fn new_id() -> String {
    id::current().unwrap_or_else(id::mint)
}

fn find_key(
    all: &VecDeque<OperationTask>,
    wanted: &RequestKey,
) -> Result<Option<OperationStatus>, KeyReused> {
    let of_key = |task: &&OperationTask| task.request_key().is_some_and(|key| key.key == wanted.key);
    match all.iter().rev().find(of_key) {
        None => Ok(None),
        Some(task) if task.request_key() == Some(wanted) => Ok(Some(task.status())),
        Some(_) => Err(KeyReused { key: wanted.key.clone() }),
    }
}

fn remember(all: &mut VecDeque<OperationTask>, task: OperationTask) {
    all.push_back(task);
    let ended = all.iter().filter(|task| task.is_final()).count();
    for _ in ENDED_MAX..ended {
        if let Some(oldest) = all.iter().position(OperationTask::is_final) {
            all.remove(oldest);
        }
    }
}

async fn run(task: &OperationTask, work: impl Future<Output = Result<Outcome, Failure>>) {
    // Without an end, its askers would wait for ever and the daemon could not be stopped.
    let outcome = AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_panic| {
        Err(Failure::new(
            ErrorCode::OperationFailed,
            "the operation ended unexpectedly because of a bug in the daemon; see its log",
        ))
    });
    let took_ms = task.elapsed_ms();
    match outcome {
        Ok(outcome) => {
            info!(took_ms, "operation succeeded");
            task.finish(|status| {
                status.state = OperationState::Succeeded;
                status.outcome = Some(outcome);
            });
        }
        Err(mut failure) => {
            warn!(took_ms, error = failure.message, "operation failed");
            failure.op_id = Some(task.id().to_owned());
            task.finish(|status| {
                status.state = match failure.code {
                    ErrorCode::Cancelled => OperationState::Cancelled,
                    _ => OperationState::Failed,
                };
                status.failure = Some(failure);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use tokio::sync::oneshot;

    use super::*;

    fn operations() -> Operations {
        Operations::new(Supervisor::new())
    }

    fn cancelled() -> Failure {
        Failure::new(ErrorCode::Cancelled, "cancelled")
    }

    #[tokio::test]
    async fn work_goes_on_without_its_caller_and_no_stage_is_lost() {
        let operations = operations();
        let (go, wait) = oneshot::channel::<()>();
        let begun = operations.begin(OperationKind::VmStart, "dev", |task| async move {
            task.stage("one", "");
            task.stage("two", "x");
            wait.await.unwrap();
            task.stage("three", "");
            Ok(Outcome::Nothing)
        });
        go.send(()).unwrap();
        let mut last = begun;
        while !last.state.is_final() {
            last = operations.status(&last.id, last.revision).await.unwrap();
        }
        assert_eq!(last.state, OperationState::Succeeded);
        assert!(matches!(last.outcome, Some(Outcome::Nothing)));
        let names: Vec<_> = last.stages.iter().map(|stage| stage.name.as_str()).collect();
        assert_eq!(names, ["one", "two", "three"]);
        assert!(last.stages.iter().all(|stage| stage.took_ms.is_some()));
    }

    #[tokio::test]
    async fn a_cancelled_operation_undoes_to_its_end() {
        let operations = operations();
        let (undo_may_end, wait) = oneshot::channel::<()>();
        let begun = operations.begin(OperationKind::VmCreate, "dev", |task| async move {
            task.unless_cancelled(std::future::pending::<()>()).await.unwrap_err();
            task.stage("undo", "");
            wait.await.unwrap();
            Err(cancelled())
        });
        let told = operations.cancel(&begun.id).unwrap();
        assert_eq!(told.state, OperationState::Cancelling);
        undo_may_end.send(()).unwrap();
        operations.close().await;
        let ended = operations.status(&begun.id, u64::MAX).await.unwrap();
        assert_eq!(ended.state, OperationState::Cancelled);
        assert_eq!(ended.failure.unwrap().op_id.as_deref(), Some(begun.id.as_str()));
    }

    #[tokio::test]
    async fn work_that_breaks_off_is_told_as_failed() {
        let operations = operations();
        let begun = operations.begin(OperationKind::VmStart, "dev", |_| async { panic!("bug") });
        let ended = operations.status(&begun.id, begun.revision).await.unwrap();
        assert_eq!(ended.state, OperationState::Failed);
    }

    #[tokio::test]
    async fn all_are_asked_to_stop_before_the_first_is_waited_for() {
        let operations = operations();
        let (second_undone, first_may_end) = oneshot::channel::<()>();
        operations.begin(OperationKind::VmCreate, "one", |task| async move {
            task.unless_cancelled(std::future::pending::<()>()).await.unwrap_err();
            first_may_end.await.unwrap();
            Err(cancelled())
        });
        operations.begin(OperationKind::VmCreate, "two", |task| async move {
            task.unless_cancelled(std::future::pending::<()>()).await.unwrap_err();
            second_undone.send(()).unwrap();
            Err(cancelled())
        });
        tokio::time::timeout(Duration::from_secs(10), operations.close()).await.unwrap();
        let late = operations.begin(OperationKind::VmCreate, "late", |task| async move {
            task.check().map_err(|_told| cancelled())?;
            Ok(Outcome::Nothing)
        });
        let late = operations.status(&late.id, u64::MAX).await.unwrap();
        assert_eq!(late.state, OperationState::Cancelled);
    }

    #[tokio::test]
    async fn work_hears_who_stopped_it_first() {
        let operations = operations();
        let begin = |target| {
            operations.begin(OperationKind::VmCreate, target, |task| async move {
                let stopped = task.unless_cancelled(std::future::pending::<()>()).await.unwrap_err();
                assert_eq!(task.check(), Err(stopped));
                Err(Failure::new(ErrorCode::Cancelled, stopped.to_string()))
            })
        };
        let (asked, running) = (begin("asked"), begin("running"));
        let _ = operations.cancel(&asked.id).unwrap();
        operations.close().await;
        let told = async |begun: OperationStatus| {
            operations.status(&begun.id, u64::MAX).await.unwrap().failure.unwrap().message
        };
        assert_eq!(told(asked).await, "cancelled");
        assert_eq!(told(running).await, "the daemon was stopped");
        assert_eq!(told(begin("late")).await, "the daemon was stopped");
    }

    #[tokio::test]
    async fn while_the_daemon_ends_a_poll_is_answered_with_the_end_only() {
        let operations = operations();
        let (undo_may_end, wait) = oneshot::channel::<()>();
        let begun = operations.begin(OperationKind::VmCreate, "dev", |task| async move {
            task.unless_cancelled(std::future::pending::<()>()).await.unwrap_err();
            wait.await.unwrap();
            Err(cancelled())
        });
        let mut closing = pin!(operations.close());
        assert!(futures::poll!(&mut closing).is_pending());
        let mut poll = pin!(operations.status(&begun.id, begun.revision));
        assert!(futures::poll!(&mut poll).is_pending(), "`cancelling` is news, but not the last");
        undo_may_end.send(()).unwrap();
        assert_eq!(poll.await.unwrap().state, OperationState::Cancelled);
        closing.await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_poll_answers_as_it_is_when_nothing_changes() {
        let operations = operations();
        let begun = operations.begin(OperationKind::VmStart, "dev", |_| std::future::pending());
        let same = operations.status(&begun.id, begun.revision).await.unwrap();
        assert_eq!(same.revision, begun.revision);
        assert!(operations.status("op-unknown", 0).await.is_none());
    }

    #[tokio::test]
    async fn a_cancelled_operation_ends_after_its_blocking_work_has_removed_what_it_made() {
        let operations = operations();
        let made = tempfile::tempdir().unwrap();
        let path = made.path().to_owned();
        let (started, starts) = oneshot::channel();
        let (go, may_go) = std::sync::mpsc::channel::<()>();
        let begun = operations.begin(OperationKind::ImagePull, "x", |task| async move {
            let work = banger_sys::blocking::run_blocking(move |_| {
                let _ = started.send(());
                let _ = may_go.recv();
                drop(made);
            });
            task.unless_cancelled(work).await.unwrap_err();
            Err(cancelled())
        });
        starts.await.unwrap();
        let _ = operations.cancel(&begun.id);
        tokio::task::yield_now().await;
        assert_eq!(operations.count_running(), 1);
        drop(go);
        operations.ended(&begun.id).await;
        assert!(!path.exists());
    }
}
