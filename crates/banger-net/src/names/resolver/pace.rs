//! How fast a guest may ask what is not known yet. Names can carry data out of the guest, and each query costs the host a socket.

use std::time::{Duration, Instant};

use super::super::host_naming::ResolvConf;

/// Number of lookups that may start at once.
const BURST: u32 = 300;
/// After them, one lookup may start in this time.
const INTERVAL: Duration = Duration::from_millis(10);

/// Counts lookups.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When all of the burst is available again.
    rested: Option<Instant>,
    lookups: usize,
}

impl Pace {
    /// Takes one lookup. Returns whether it may start.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let rested = self.rested.map_or(now, |rested| rested.max(now)) + INTERVAL;
        let may_start = rested <= now + INTERVAL * BURST;
        if may_start {
            self.rested = Some(rested);
        }
        may_start
    }

    /// Returns the server with which the next lookup begins.
    pub(super) fn turn(&mut self, conf: &ResolvConf) -> usize {
        let turn = self.lookups;
        self.lookups = if conf.rotates { turn.wrapping_add(1) } else { 0 };
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_followed_by_a_steady_pace() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let started = (0..1000).filter(|_| pace.take(start)).count();
        assert_eq!(started, 300);
        let later = start + Duration::from_millis(55);
        assert_eq!((0..1000).filter(|_| pace.take(later)).count(), 5);
        let rested = start + Duration::from_secs(60);
        assert_eq!((0..1000).filter(|_| pace.take(rested)).count(), 300);
    }
}
