//! Long work on files, away from the async threads, that notices when nobody waits for it any more.
//!
//! The work owns what it makes (its staging directory) and gives it back with its result. When the waiting future is
//! dropped, the work ends at its next check and what it owned is removed by its own `Drop`, never under its feet. Who must
//! know when that has happened runs the future with [`BlockingWork`].

use std::convert::Infallible;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;

tokio::task_local! {
    /// Kept by blocking work until it has ended and what it owned is gone.
    static AT_WORK: mpsc::Sender<Infallible>;
}

/// The blocking work that a future begins, and that goes on for a moment when the future is dropped.
#[derive(Debug)]
pub struct BlockingWork {
    token: mpsc::Sender<Infallible>,
    ended: mpsc::Receiver<Infallible>,
}

impl Default for BlockingWork {
    fn default() -> Self {
        let (token, ended) = mpsc::channel(1);
        Self { token, ended }
    }
}

impl BlockingWork {
    /// Runs a future whose calls of [`run_blocking`] belong to this.
    pub fn of<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        AT_WORK.scope(self.token.clone(), future)
    }

    /// Waits until all of it has ended and has dropped what it owned. The future must be dropped before.
    pub async fn ended(self) {
        let Self { token, mut ended } = self;
        drop(token);
        // Nothing is ever sent: it ends when the last token is dropped.
        let _ = ended.recv().await;
    }
}

/// Tells blocking work whether somebody still waits.
#[derive(Clone, Debug, Default)]
pub struct Cancelled(Arc<AtomicBool>);

impl Cancelled {
    /// Fails when nobody waits any more.
    ///
    /// # Errors
    /// An error of the kind `Other`.
    pub fn check(&self) -> io::Result<()> {
        // Not `Interrupted`: readers of the standard library would try again.
        if self.0.load(Ordering::Relaxed) { Err(io::Error::other("given up")) } else { Ok(()) }
    }

    /// Returns a reader that fails once nobody waits any more.
    #[must_use]
    pub fn reader<R: Read>(&self, inner: R) -> CancelledReader<R> {
        CancelledReader { inner, cancelled: self.clone() }
    }
}

/// See [`Cancelled::reader`].
#[derive(Debug)]
pub struct CancelledReader<R> {
    inner: R,
    cancelled: Cancelled,
}

impl<R: Read> Read for CancelledReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.cancelled.check()?;
        self.inner.read(buffer)
    }
}

struct CancelOnDrop(Cancelled);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// Runs the work on a thread where blocking is allowed.
pub async fn run_blocking<T: Send + 'static>(work: impl FnOnce(&Cancelled) -> T + Send + 'static) -> T {
    let cancelled = Cancelled::default();
    let guard = CancelOnDrop(cancelled.clone());
    let token = AT_WORK.try_with(Clone::clone).ok();
    // If nobody waits, the result is dropped with the token behind it.
    let result = tokio::task::spawn_blocking(move || (work(&cancelled), token)).await;
    drop(guard);
    match result {
        Ok((value, _token)) => value,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime is going down and takes this future with it.
        Err(_) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn the_end_of_work_that_was_given_up_comes_after_what_it_owned_is_gone() {
        let owned = tempfile::tempdir().unwrap();
        let path = owned.path().to_owned();
        let (started, starts) = tokio::sync::oneshot::channel();
        let (go, may_go) = mpsc::channel::<()>();
        let work = BlockingWork::default();
        let waiting = work.of(run_blocking(move |_| {
            let _ = started.send(());
            let _ = may_go.recv();
            owned
        }));
        tokio::select! {
            biased;
            _ = waiting => unreachable!("it waits"),
            _ = starts => {}
        }
        let mut ended = std::pin::pin!(work.ended());
        assert!(tokio::time::timeout(Duration::ZERO, &mut ended).await.is_err());
        assert!(path.exists());
        drop(go);
        ended.await;
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn work_notices_that_nobody_waits() {
        let (started, starts) = tokio::sync::oneshot::channel();
        let (told, tells) = mpsc::channel();
        let waiting = tokio::spawn(run_blocking(move |cancelled: &Cancelled| {
            let _ = started.send(());
            let mut zeros = cancelled.reader(io::repeat(0));
            let end = io::copy(&mut zeros, &mut io::sink());
            let _ = told.send(end.unwrap_err().to_string());
        }));
        starts.await.unwrap();
        waiting.abort();
        let told = tokio::task::spawn_blocking(move || tells.recv().unwrap()).await.unwrap();
        assert_eq!(told, "given up");
    }
}
