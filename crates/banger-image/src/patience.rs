//! How long servers are waited for, and how often they are asked again.

use std::time::Duration;

use banger_fetch::Pace;

/// One KiB/s within a minute: the slowest lines in use are faster.
const WINDOW_BYTES_MIN: u64 = 60 << 10;

/// Deadlines and tries. Everything is bounded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Until a connection stands.
    pub(crate) connect: Duration,
    /// Without a byte, within an answer or before it.
    pub(crate) idle: Duration,
    /// Until a document is whole: manifests, tokens and reasons are small.
    pub(crate) document: Duration,
    /// In which a blob must bring at least [`WINDOW_BYTES_MIN`].
    pub(crate) window: Duration,
    /// How often something is tried without coming further.
    pub(crate) tries_max: u32,
    /// Before the second try; doubles each time.
    pub(crate) first_pause: Duration,
    /// The longest pause, also where the registry asks for more.
    pub(crate) pause_max: Duration,
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
    /// How slowly a blob may come.
    pub(crate) fn pace(&self) -> Pace {
        Pace::new(self.window, WINDOW_BYTES_MIN)
    }
}
