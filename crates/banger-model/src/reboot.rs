//! The rule for a guest that reboots: its machine is started again, after longer and longer pauses if it does not stay up,
//! and after too many reboots not at all.

use std::time::Duration;

/// A guest that was up for this long has recovered; its earlier reboots no longer count.
const STEADY: Duration = Duration::from_mins(1);

/// How many times a guest may reboot without having been up for long.
const HASTY_MAX: u32 = 8;

/// The longest pause before a start.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// The reaction to a reboot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reboot {
    /// The machine is started again after this pause.
    StartAfter(Duration),
    /// The guest keeps rebooting, so it stays stopped until a user starts it.
    GiveUp {
        /// The number of reboots so far.
        times: u32,
    },
}

/// Counts the reboots of a guest since it was last up for long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reboots {
    hasty: u32,
}

impl Reboots {
    /// Counts a reboot of a guest whose machine ran for `was_up`, and returns the reaction.
    pub fn add(&mut self, was_up: Duration) -> Reboot {
        self.hasty = if was_up >= STEADY { 1 } else { self.hasty + 1 };
        if self.hasty > HASTY_MAX {
            let times = std::mem::take(&mut self.hasty);
            return Reboot::GiveUp { times };
        }
        // An installation reboots up to twice, so the first two starts have no pause.
        let pause = match self.hasty.checked_sub(3) {
            Some(doublings) => Duration::from_secs(1 << doublings).min(PAUSE_MAX),
            None => Duration::ZERO,
        };
        Reboot::StartAfter(pause)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_guest_that_reboots_again_and_again_waits_longer_and_is_given_up() {
        let mut reboots = Reboots::default();
        let after: Vec<_> = (0..9).map(|_| reboots.add(Duration::from_secs(10))).collect();
        let pauses = [0, 0, 1, 2, 4, 8, 16, 30].map(|secs| Reboot::StartAfter(Duration::from_secs(secs)));
        assert_eq!(after[..8], pauses);
        assert_eq!(after[8], Reboot::GiveUp { times: 9 });
        // A user has started it since.
        assert_eq!(reboots.add(Duration::from_secs(10)), Reboot::StartAfter(Duration::ZERO));
    }

    proptest! {
        #[test]
        fn a_guest_that_stays_up_may_reboot_for_ever(ups in proptest::collection::vec(60_u64..1_000_000, 1..50)) {
            let mut reboots = Reboots::default();
            for up in ups {
                prop_assert_eq!(reboots.add(Duration::from_secs(up)), Reboot::StartAfter(Duration::ZERO));
            }
        }
    }
}
