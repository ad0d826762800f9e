//! Long work on files, away from the async threads, that notices when nobody waits for it any more.
//!
//! The work owns what it makes (its staging directory) and gives it back with its result. When the waiting future is
//! dropped, the work ends at its next check and what it owned is removed by its own `Drop`, never under its feet.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
    let result = tokio::task::spawn_blocking(move || work(&cancelled)).await;
    drop(guard);
    match result {
        Ok(value) => value,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime is going down and takes this future with it.
        Err(_) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

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
