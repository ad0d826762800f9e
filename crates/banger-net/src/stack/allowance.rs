//! How much a guest may ask of us in vain. Frames that bring nothing forward cost a guest its turn: when it has sent too many,
//! its device is left alone for a moment, so that a flood costs a tenth of a core at most.

use std::time::{Duration, Instant};

/// Frames in vain that are read at once, and in a second. A frame takes about 5 µs.
const BURST: u32 = 20_000;
const PER_SECOND: u32 = 20_000;

/// How long a device is left alone.
const PAUSE: Duration = Duration::from_millis(10);

/// What a frame was good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// It brought something forward.
    Useful,
    Vain,
    /// A socket was opened for it: that is vain until somebody answers.
    Opened,
}

impl Effort {
    const fn cost(self) -> u32 {
        match self {
            Self::Useful => 0,
            Self::Vain => 1,
            Self::Opened => OPENING_COST,
        }
    }
}

/// What the opening of a socket costs, in frames.
pub(super) const OPENING_COST: u32 = 4;

pub(super) struct Allowance {
    left: u32,
    counted_at: Instant,
}

impl Allowance {
    pub(super) fn new(now: Instant) -> Self {
        Self { left: BURST, counted_at: now }
    }

    /// Takes what a frame has cost. Returns until when the device is left alone, if it is.
    pub(super) fn spend(&mut self, effort: Effort, now: Instant) -> Option<Instant> {
        let cost = effort.cost();
        if self.left < cost {
            self.refill(now);
        }
        match self.left.checked_sub(cost) {
            Some(left) => {
                self.left = left;
                None
            }
            None => Some(now + PAUSE),
        }
    }

    /// What was opened was good for something.
    pub(super) fn give_back(&mut self) {
        self.left = (self.left + OPENING_COST).min(BURST);
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.counted_at).min(Duration::from_secs(1));
        let more = u128::from(PER_SECOND) * elapsed.as_micros() / 1_000_000;
        if more > 0 {
            self.left = (self.left + u32::try_from(more).unwrap_or(BURST)).min(BURST);
            self.counted_at = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_read_at_a_bounded_rate_and_useful_frames_are_free() {
        let mut now = Instant::now();
        let mut allowance = Allowance::new(now);
        let mut vain = 0;
        for _ in 0..500 {
            while allowance.spend(Effort::Vain, now).is_none() {
                vain += 1;
            }
            assert_eq!(allowance.spend(Effort::Useful, now), None);
            now += PAUSE;
        }
        assert!((BURST + 4 * PER_SECOND..=BURST + 5 * PER_SECOND).contains(&vain), "{vain}");
    }

    #[test]
    fn an_answer_gives_back_what_the_opening_cost() {
        let now = Instant::now();
        let mut allowance = Allowance::new(now);
        for _ in 0..BURST {
            assert_eq!(allowance.spend(Effort::Opened, now), None);
            allowance.give_back();
        }
    }
}
