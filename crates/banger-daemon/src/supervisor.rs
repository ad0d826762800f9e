//! The only place where tasks start: each has a name, and one that panics is told in the log.

use futures::FutureExt as _;
use std::panic::AssertUnwindSafe;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, error};

/// A larger task is moved over the stack several times before it is on the heap. A build without optimisations moves most, and a
/// worker's stack has 2 MiB.
const TASK_BYTES_MAX: usize = 16 * 1024;

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
    pub fn spawn<T: Future<Output = ()> + Send + 'static>(&self, name: &'static str, task: T) {
        const {
            assert!(
                size_of::<T>() <= TASK_BYTES_MAX,
                "too large for a thread's stack: box a future inside of it"
            );
        };
        let watched = async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                error!(task = name, "task panicked");
            }
        };
        self.tasks.spawn(watched.in_current_span());
    }
}
