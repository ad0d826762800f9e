//! The inside of an operation: what its work uses to tell its stages and to hear that it shall stop.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use banger_model::{Hint, OperationKind, OperationState};
use banger_sys::blocking::BlockingWork;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::request_key::RequestKey;
use super::status::{OperationStatus, Stage, StagePart};

/// How long cancelled work is waited for. What reads from a pipe that nobody writes to does not notice that it is given up.
const GIVE_UP_DEADLINE: Duration = Duration::from_secs(10);

/// The operation is to stop before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cancelled {
    /// Somebody asked for it.
    #[error("cancelled")]
    OnRequest,
    /// The daemon ends: whoever waits for the operation did not ask for that.
    #[error("the daemon was stopped")]
    DaemonStopped,
}

impl Cancelled {
    /// Returns what to do now, where whoever waited did not want the end.
    #[must_use]
    pub fn hint(self) -> Option<Hint> {
        match self {
            Self::OnRequest => None,
            Self::DaemonStopped => Some(Hint::advice("run the command again; it starts a new daemon")),
        }
    }
}

/// One operation, as its own work sees it.
#[derive(Clone, Debug)]
pub struct OperationTask {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    id: String,
    key: Option<RequestKey>,
    begun: Instant,
    status: watch::Sender<OperationStatus>,
    cancelled: CancellationToken,
    /// The first reason, from the moment of `cancelled`.
    reason: OnceLock<Cancelled>,
}

impl OperationTask {
    pub(super) fn new(id: String, kind: OperationKind, target: String, key: Option<RequestKey>) -> Self {
        let status = watch::Sender::new(OperationStatus::begun(id.clone(), kind, target));
        let (begun, cancelled) = (Instant::now(), CancellationToken::new());
        let reason = OnceLock::new();
        Self { shared: Arc::new(Shared { id, key, begun, status, cancelled, reason }) }
    }

    /// Its id, for logs and errors.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.shared.id
    }

    pub(super) fn request_key(&self) -> Option<&RequestKey> {
        self.shared.key.as_ref()
    }

    /// Begins the next stage; the one before it is done.
    pub fn stage(&self, name: &str, detail: &str) {
        let now = self.elapsed_ms();
        self.change(|status| {
            close_stage(status, now);
            status.stages.push(Stage {
                name: name.to_owned(),
                detail: detail.to_owned(),
                started_ms: now,
                took_ms: None,
                done_bytes: None,
                total_bytes: None,
                parts: Vec::new(),
            });
        });
    }

    /// Tells how far the stage with this name is; begins it when it is not the last one.
    pub fn progress(&self, name: &str, detail: &str, done_bytes: Option<u64>, total_bytes: Option<u64>) {
        self.progress_of_parts(name, detail, (done_bytes, total_bytes), Vec::new());
    }

    /// As [`Self::progress`], with what the stage consists of.
    pub fn progress_of_parts(
        &self,
        name: &str,
        detail: &str,
        (done_bytes, total_bytes): (Option<u64>, Option<u64>),
        parts: Vec<StagePart>,
    ) {
        let is_current = self.shared.status.borrow().stages.last().is_some_and(|stage| stage.name == name);
        if !is_current {
            self.stage(name, detail);
        }
        self.change(|status| {
            if let Some(stage) = status.stages.last_mut() {
                detail.clone_into(&mut stage.detail);
                stage.done_bytes = done_bytes;
                stage.total_bytes = total_bytes;
                stage.parts = parts;
            }
        });
    }

    /// Tells the caller something although nothing fails, in one sentence.
    pub fn note(&self, sentence: String) {
        self.change(|status| status.notes.push(sentence));
    }

    /// Tells that there is nothing to do, and why.
    pub fn was_already(&self, sentence: String) {
        self.change(|status| {
            status.was_already = true;
            status.notes.push(sentence);
        });
    }

    /// Tells the caller something that is no failure. What was told is not told again.
    pub fn warn(&self, text: &str) {
        self.change(|status| {
            if !status.warnings.iter().any(|told| told == text) {
                status.warnings.push(text.to_owned());
            }
        });
    }

    /// Names what the operation is about, once that is known.
    pub fn set_target(&self, target: &str) {
        self.change(|status| target.clone_into(&mut status.target));
    }

    /// Does `work` unless the operation is cancelled first: then `work` is dropped where it waits, and its blocking work is
    /// waited for, so that nothing of it is left when the end is told.
    ///
    /// # Errors
    /// [`Cancelled`].
    pub async fn unless_cancelled<T>(&self, work: impl Future<Output = T>) -> Result<T, Cancelled> {
        let blocking = BlockingWork::default();
        let done = tokio::select! {
            biased;
            () = self.shared.cancelled.cancelled() => Err(self.reason()),
            done = blocking.of(work) => Ok(done),
        };
        if done.is_err() && tokio::time::timeout(GIVE_UP_DEADLINE, blocking.ended()).await.is_err() {
            warn!(op = self.id(), "cancelled work still goes on; what it owns is removed when it ends");
        }
        done
    }

    /// # Errors
    /// [`Cancelled`] when the operation shall stop.
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.shared.cancelled.is_cancelled() { Err(self.reason()) } else { Ok(()) }
    }

    fn reason(&self) -> Cancelled {
        self.shared.reason.get().copied().unwrap_or(Cancelled::OnRequest)
    }

    pub(super) fn status(&self) -> OperationStatus {
        self.shared.status.borrow().clone()
    }

    pub(super) fn watch(&self) -> watch::Receiver<OperationStatus> {
        self.shared.status.subscribe()
    }

    /// Tells whether nothing more will happen.
    pub(super) fn is_final(&self) -> bool {
        self.shared.status.borrow().state.is_final()
    }

    /// Asks the work to stop, on somebody's request.
    pub(crate) fn cancel(&self) {
        self.cancel_because(Cancelled::OnRequest);
    }

    /// Asks the work to stop. The first reason stays.
    pub(super) fn cancel_because(&self, reason: Cancelled) {
        if self.is_final() {
            return;
        }
        let _ = self.shared.reason.set(reason);
        self.change(|status| {
            if status.state == OperationState::Running {
                status.state = OperationState::Cancelling;
            }
        });
        self.shared.cancelled.cancel();
    }

    pub(super) fn finish(&self, end: impl FnOnce(&mut OperationStatus)) {
        let now = self.elapsed_ms();
        self.change(|status| {
            close_stage(status, now);
            end(status);
        });
    }

    pub(super) fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.shared.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn change(&self, change: impl FnOnce(&mut OperationStatus)) {
        self.shared.status.send_modify(|status| {
            change(status);
            status.revision += 1;
        });
    }
}

fn close_stage(status: &mut OperationStatus, now: u64) {
    if let Some(stage) = status.stages.last_mut() {
        stage.took_ms.get_or_insert(now.saturating_sub(stage.started_ms));
    }
}
