//! How often a server is asked again.

use crate::error::SourceError;
use crate::patience::Patience;

/// A try that brought less has not come further.
pub(crate) const PROGRESS_BYTES: u64 = 1 << 20;

/// Counts tries that bring nothing new.
#[derive(Debug)]
pub struct Tries {
    patience: Patience,
    in_vain: u32,
}

impl Tries {
    /// No try yet.
    #[must_use]
    pub fn new(patience: Patience) -> Self {
        Self { patience, in_vain: 0 }
    }

    /// Forgets earlier failures if a try brought enough.
    pub(crate) fn note_progress(&mut self, bytes: u64) {
        if bytes >= PROGRESS_BYTES {
            self.in_vain = 0;
        }
    }

    /// Waits before the next try.
    ///
    /// # Errors
    /// Returns the error if there is no further try.
    pub async fn again<E: SourceError>(&mut self, error: E) -> Result<(), E> {
        self.in_vain += 1;
        if !error.is_transient() || self.in_vain >= self.patience.tries_max {
            return Err(error);
        }
        let doubled = self.patience.first_pause.saturating_mul(1 << (self.in_vain - 1).min(16));
        let pause = error.retry_after().unwrap_or(doubled).min(self.patience.pause_max);
        tracing::debug!(%error, ?pause, "the server is asked again");
        tokio::time::sleep(pause).await;
        Ok(())
    }
}
