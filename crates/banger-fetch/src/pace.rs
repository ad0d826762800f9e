//! The minimum speed of a response. Silence has a deadline of its own; this one ends a response that trickles byte by byte
//! without end. Only the time spent waiting for the network counts.

use std::time::Duration;

/// Measures the speed of a response while it arrives.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    window: Duration,
    bytes_min: u64,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    /// Requires at least `bytes_min` bytes in every `window`.
    #[must_use]
    pub fn new(window: Duration, bytes_min: u64) -> Self {
        Self { window, bytes_min, waited: Duration::ZERO, bytes: 0 }
    }

    /// Records that `bytes` arrived after a wait of `waited`. Returns whether that is fast enough.
    #[must_use]
    pub fn is_kept(&mut self, waited: Duration, bytes: usize) -> bool {
        self.waited += waited;
        self.bytes += bytes as u64;
        if self.waited < self.window {
            return true;
        }
        let is_kept = self.bytes >= self.bytes_min;
        (self.waited, self.bytes) = (Duration::ZERO, 0);
        is_kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_trickle_ends_at_the_end_of_a_window_and_a_slow_line_does_not() {
        let mut trickle = Pace::new(10 * SECOND, 100);
        assert!((0..9).all(|_| trickle.is_kept(SECOND, 9)));
        assert!(!trickle.is_kept(SECOND, 9), "90 bytes in 10 s");
        let mut slow = Pace::new(10 * SECOND, 100);
        assert!((0..1000).all(|_| slow.is_kept(SECOND, 10)));
    }

    #[test]
    fn each_window_is_measured_anew() {
        let mut pace = Pace::new(10 * SECOND, 100);
        assert!(pace.is_kept(10 * SECOND, 1_000_000));
        assert!(!pace.is_kept(10 * SECOND, 99));
    }
}
