//! How long servers are waited for, and how often they are asked again.

use std::time::Duration;

use crate::pace::Pace;

/// One KiB/s within a minute: the slowest lines in use are faster.
const WINDOW_BYTES_MIN: u64 = 60 << 10;

/// Deadlines and tries. Everything is bounded.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Limit for a connection attempt.
    pub connect: Duration,
    /// Limit for a time without a byte, within a response or before it.
    pub idle: Duration,
    /// Limit for a whole document, which is small: a manifest, a token, a signature.
    pub document: Duration,
    /// Time within which a response must bring at least 60 KiB.
    pub window: Duration,
    /// Number of tries in a row that bring nothing new.
    pub tries_max: u32,
    /// Pause before the second try. It doubles with each further one.
    pub first_pause: Duration,
    /// Longest pause, even if the server asks for a longer one.
    pub pause_max: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            document: Duration::from_secs(60),
            window: Duration::from_secs(60),
            tries_max: 5,
            first_pause: Duration::from_millis(500),
            pause_max: Duration::from_secs(30),
        }
    }
}

impl Patience {
    /// Returns how slowly a response may come.
    #[must_use]
    pub fn pace(&self) -> Pace {
        Pace::new(self.window, WINDOW_BYTES_MIN)
    }
}
