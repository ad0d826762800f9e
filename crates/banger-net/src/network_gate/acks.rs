//! Keeps repeated acknowledgements from passt.
//!
//! passt 2023-03-09 takes a segment that acknowledges what the last one did, without data, for a loss, and sends everything
//! anew from there. What comes a second time the guest acknowledges with the same words again, so that one repetition, which
//! any change of its window can cause, makes a storm: gigabytes of the same bytes, and no end. It counts repetitions only
//! over what one read gave it, and here a read is one frame; so they are counted here, as RFC 5681 has it: the third is told,
//! once.

use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use super::frame::Acknowledgement;

/// Connections that are remembered. Of more all are forgotten: then a repetition passes for once.
const CONNECTIONS_MAX: usize = 4096;

/// The repetition that means a loss.
const LOSS: u32 = 3;

/// After this time the same acknowledgement is news again, whatever became of the first.
const NEWS_AFTER: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Acknowledgements(HashMap<(u16, SocketAddrV4), Last>);

struct Last {
    acknowledgement: Acknowledgement,
    told: Instant,
    repetitions: u32,
}

impl Acknowledgements {
    /// Notes what the guest acknowledges and tells whether passt is to hear of it.
    pub(super) fn is_news(
        &mut self,
        guest_port: u16,
        remote: SocketAddrV4,
        acknowledgement: Acknowledgement,
        now: Instant,
    ) -> bool {
        let connection = (guest_port, remote);
        if let Some(last) = self.0.get_mut(&connection)
            && last.acknowledgement == acknowledgement
            && now.saturating_duration_since(last.told) <= NEWS_AFTER
        {
            last.repetitions = last.repetitions.saturating_add(1);
            return last.repetitions == LOSS;
        }
        if self.0.len() >= CONNECTIONS_MAX && !self.0.contains_key(&connection) {
            self.0.clear();
        }
        self.0.insert(connection, Last { acknowledgement, told: now, repetitions: 0 });
        true
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const FIRST: Acknowledgement = Acknowledgement { sequence: 1, number: 100, window: 500 };

    fn remote(port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 1), port)
    }

    #[test]
    fn of_many_repetitions_the_third_is_told() {
        let (mut acks, now) = (Acknowledgements::default(), Instant::now());
        let told: Vec<bool> = (0..100).map(|_| acks.is_news(4000, remote(80), FIRST, now)).collect();
        let which: Vec<usize> = (0..100).filter(|number| told[*number]).collect();
        assert_eq!(which, [0, 3]);
    }

    #[test]
    fn what_says_something_else_is_news() {
        let (mut acks, now) = (Acknowledgements::default(), Instant::now());
        let mut is_news = |port, acknowledgement| acks.is_news(4000, remote(port), acknowledgement, now);
        assert!(is_news(80, FIRST));
        assert!(is_news(80, Acknowledgement { number: 101, ..FIRST }));
        assert!(is_news(80, Acknowledgement { window: 501, ..FIRST }));
        // A question whether the peer is still there.
        assert!(is_news(80, Acknowledgement { sequence: 0, ..FIRST }));
        assert!(is_news(81, Acknowledgement { sequence: 0, ..FIRST }));
        assert!(!is_news(80, Acknowledgement { sequence: 0, ..FIRST }));
    }

    #[test]
    fn the_same_later_is_news() {
        let (mut acks, now) = (Acknowledgements::default(), Instant::now());
        assert!(acks.is_news(4000, remote(80), FIRST, now));
        assert!(!acks.is_news(4000, remote(80), FIRST, now + NEWS_AFTER));
        assert!(acks.is_news(4000, remote(80), FIRST, now + NEWS_AFTER + Duration::from_millis(1)));
    }

    #[test]
    fn no_guest_fills_the_memory_with_connections() {
        let (mut acks, now) = (Acknowledgements::default(), Instant::now());
        for port in 1..20_000 {
            assert!(acks.is_news(4000, remote(port), FIRST, now));
        }
        assert!(acks.0.len() <= CONNECTIONS_MAX);
    }
}
