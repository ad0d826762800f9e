//! A place in the daemon's work where a test can hold it up.

use std::time::Duration;

use tokio::sync::watch;

/// Longest wait for anything that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Open unless told otherwise; counts who came.
pub struct Gate {
    is_open: watch::Sender<bool>,
    visitors: watch::Sender<usize>,
}

impl Gate {
    pub fn new() -> Self {
        Self { is_open: watch::Sender::new(true), visitors: watch::Sender::new(0) }
    }

    pub fn close(&self) {
        self.is_open.send_replace(false);
    }

    pub fn open(&self) {
        self.is_open.send_replace(true);
    }

    pub fn visitors(&self) -> usize {
        *self.visitors.borrow()
    }

    /// Waits until this many have come.
    pub async fn reached(&self, count: usize) {
        let mut visitors = self.visitors.subscribe();
        let reached = visitors.wait_for(|come| *come >= count);
        tokio::time::timeout(PATIENCE, reached).await.expect("nobody comes to the gate").unwrap();
    }

    pub async fn pass(&self) {
        self.visitors.send_modify(|come| *come += 1);
        self.is_open.subscribe().wait_for(|is_open| *is_open).await.unwrap();
    }
}
