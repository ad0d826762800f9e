//! How often a registry is asked again.

use banger_fetch::Patience;

use super::registry_error::RegistryError;

/// Counts tries in vain.
#[derive(Debug)]
pub(crate) struct Tries {
    patience: Patience,
    in_vain: u32,
}

impl Tries {
    pub(crate) fn new(patience: Patience) -> Self {
        Self { patience, in_vain: 0 }
    }

    /// It came further: earlier failures count no more.
    pub(crate) fn came_further(&mut self) {
        self.in_vain = 0;
    }

    /// Waits before the next try, or gives the error back when there is none.
    pub(crate) async fn again(&mut self, error: RegistryError) -> Result<(), RegistryError> {
        self.in_vain += 1;
        if !error.is_transient() || self.in_vain >= self.patience.tries_max {
            return Err(error);
        }
        let doubled = self.patience.first_pause.saturating_mul(1 << (self.in_vain - 1).min(16));
        let pause = error.retry_after().unwrap_or(doubled).min(self.patience.pause_max);
        tracing::debug!(%error, ?pause, "the registry is asked again");
        tokio::time::sleep(pause).await;
        Ok(())
    }
}
