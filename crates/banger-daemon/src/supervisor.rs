//! The only place where tasks start: each has a name, and one that panics is told in the log.

use futures::FutureExt as _;
use std::panic::AssertUnwindSafe;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, error};

/// Starts tasks.
#[derive(Clone, Debug, Default)]
pub struct Supervisor {
    tasks: TaskTracker,
}

impl Supervisor {
    /// A supervisor without tasks.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task; it inherits the caller's log span.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let watched = async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                error!(task = name, "task panicked");
            }
        };
        self.tasks.spawn(watched.in_current_span());
    }
}
