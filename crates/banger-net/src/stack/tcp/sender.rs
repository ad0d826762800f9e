//! What goes to the guest: kept until the guest has acknowledged it, and sent again when it was lost.
//!
//! Between us and a guest lies a queue of the kernel or of the VMM and no network, so there is no congestion to look for: what is
//! on its way is limited by the guest's window and by what those queues hold. A loss is still possible (a tap's queue runs
//! over), and repaired as `NewReno` does.
//! Source: RFC 9293, RFC 6582, RFC 5681 (what counts as a duplicate).

use std::time::{Duration, Instant};

use super::super::ring::Ring;
use super::sequence::{between, distance, plus};

/// On the way to a guest at most.
pub(super) const FLIGHT_BYTES_MAX: usize = 1024 * 1024;
/// The queue of a tap holds a thousand frames.
const FLIGHT_SEGMENTS_MAX: usize = 256;

const DUPLICATES_OF_A_LOSS: u8 = 3;

const RETRY_MIN: Duration = Duration::from_millis(400);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// A guest that says nothing for so long has gone. One that is paused comes back earlier, or its connections are lost.
const SILENCE_MAX: Duration = Duration::from_secs(15 * 60);

/// A piece of what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) sequence: u32,
    /// From the first byte that is kept.
    pub(super) offset: usize,
    pub(super) length: usize,
    pub(super) is_last: bool,
    /// Nothing follows for now.
    pub(super) is_pushed: bool,
}

/// What an acknowledgement or a timer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Nothing,
    /// The first bytes were lost.
    Repeat(Piece),
    /// The guest takes nothing at present, and is asked whether that has changed.
    Probe,
    /// The guest is gone.
    GiveUp,
}

/// The end of what is sent, which has a number of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// More may come.
    Open,
    /// It is behind the ring.
    Due,
    Acknowledged,
}

pub(super) struct Sender {
    pub(super) ring: Ring,
    /// The first byte that is kept.
    first: u32,
    /// The next to be sent.
    next: u32,
    end: End,
    window: u32,
    scale: u8,
    segment_bytes: usize,
    duplicates: u8,
    /// Losses up to here are being repaired.
    repaired_to: Option<u32>,
    deadline: Option<Instant>,
    tries: u32,
    silent_since: Option<Instant>,
}

impl Sender {
    pub(super) fn new(first: u32, segment_bytes: usize) -> Self {
        Self {
            ring: Ring::default(),
            first,
            next: first,
            end: End::Open,
            window: 0,
            scale: 0,
            segment_bytes: segment_bytes.max(1),
            duplicates: 0,
            repaired_to: None,
            deadline: None,
            tries: 0,
            silent_since: None,
        }
    }

    /// Notes what the guest announced with its SYN.
    pub(super) fn agree(&mut self, window: u16, scale: u8, segment_bytes: usize) {
        self.window = window.into();
        self.scale = scale;
        self.segment_bytes = segment_bytes.max(1);
    }

    pub(super) const fn next(&self) -> u32 {
        self.next
    }

    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Nothing comes behind what is there.
    pub(super) fn end(&mut self) {
        if self.end == End::Open {
            self.end = End::Due;
        }
    }

    /// Tells whether the guest has everything, and knows that it is everything.
    pub(super) fn is_done(&self) -> bool {
        self.end == End::Acknowledged
    }

    /// Returns how many more bytes can be taken for the guest now.
    pub(super) fn room(&self) -> usize {
        if self.end == End::Open { self.flight_max().saturating_sub(self.ring.len()) } else { 0 }
    }

    /// Returns what is to be sent next, if anything.
    pub(super) fn next_piece(&self) -> Option<Piece> {
        if self.end == End::Acknowledged {
            return None;
        }
        let offset = between(self.first, self.next);
        // The end has been sent.
        let unsent = self.ring.len().checked_sub(offset)?;
        let length = unsent.min(self.segment_bytes).min(self.flight_max().saturating_sub(offset));
        let is_last = self.end == End::Due && length == unsent;
        // A small piece only because the window ends there would be the first of many.
        let is_silly = length < unsent.min(self.segment_bytes) && offset > 0;
        if (length == 0 && !is_last) || is_silly {
            return None;
        }
        Some(Piece { sequence: self.next, offset, length, is_last, is_pushed: length == unsent })
    }

    /// The piece is on its way.
    pub(super) fn sent(&mut self, piece: Piece, now: Instant) {
        self.next = plus(piece.sequence, piece.length + usize::from(piece.is_last));
        self.arm(now);
    }

    /// The guest takes nothing, or is about to be asked: makes sure that somebody looks later.
    pub(super) fn wait(&mut self, now: Instant) {
        if !self.ring.is_empty() || self.end == End::Due {
            self.arm(now);
        }
    }

    fn arm(&mut self, now: Instant) {
        if self.deadline.is_none() {
            self.deadline = Some(now + self.pause());
        }
    }

    fn pause(&self) -> Duration {
        RETRY_MIN.saturating_mul(1 << self.tries.min(10)).min(RETRY_MAX)
    }

    /// Takes an acknowledgement. `is_plain`: the segment has nothing else. Returns whether it said anything new, and what it asks
    /// for.
    pub(super) fn acknowledge(
        &mut self,
        number: u32,
        window: u16,
        is_plain: bool,
        now: Instant,
    ) -> (bool, Need) {
        let in_flight = distance(self.first, self.next);
        let acknowledged = distance(self.first, number);
        if acknowledged < 0 || acknowledged > in_flight {
            return (false, Need::Nothing);
        }
        self.silent_since = None;
        let window = u32::from(window) << self.scale;
        let is_same_window = window == self.window;
        self.window = window;
        if acknowledged == 0 {
            let is_duplicate = is_plain && is_same_window && in_flight > 0;
            let need = if is_duplicate { self.count_duplicate() } else { Need::Nothing };
            return (!is_same_window || need != Need::Nothing, need);
        }
        let bytes = between(self.first, number);
        if bytes > self.ring.len() {
            self.end = End::Acknowledged;
        }
        self.ring.consume(bytes);
        self.first = number;
        self.duplicates = 0;
        self.tries = 0;
        self.deadline = (number != self.next).then(|| now + self.pause());
        (true, self.go_on_repairing(number))
    }

    fn count_duplicate(&mut self) -> Need {
        self.duplicates = self.duplicates.saturating_add(1);
        if self.duplicates == DUPLICATES_OF_A_LOSS && self.repaired_to.is_none() {
            self.repaired_to = Some(self.next);
            return self.repeat();
        }
        Need::Nothing
    }

    fn go_on_repairing(&mut self, number: u32) -> Need {
        match self.repaired_to {
            Some(end) if distance(end, number) < 0 => self.repeat(),
            Some(_) | None => {
                self.repaired_to = None;
                Need::Nothing
            }
        }
    }

    /// Returns the first piece again.
    fn repeat(&self) -> Need {
        let length = self.ring.len().min(self.segment_bytes).min(between(self.first, self.next));
        let is_last =
            self.end == End::Due && length == self.ring.len() && between(self.first, self.next) > length;
        if length == 0 && !is_last {
            return Need::Nothing;
        }
        Need::Repeat(Piece { sequence: self.first, offset: 0, length, is_last, is_pushed: true })
    }

    /// Looks at what was not answered in time.
    pub(super) fn look(&mut self, now: Instant) -> Need {
        if self.deadline.is_none_or(|deadline| deadline > now) {
            return Need::Nothing;
        }
        self.deadline = None;
        let is_waiting = !self.ring.is_empty() || self.end == End::Due;
        if !is_waiting {
            return Need::Nothing;
        }
        let silent_since = *self.silent_since.get_or_insert(now);
        if now.saturating_duration_since(silent_since) > SILENCE_MAX {
            return Need::GiveUp;
        }
        self.tries += 1;
        self.arm(now);
        if self.window == 0 || self.first == self.next {
            return Need::Probe;
        }
        self.duplicates = 0;
        self.repaired_to = Some(self.next);
        self.repeat()
    }

    /// Returns the number of a segment that makes the guest say what it has.
    pub(super) const fn probe(&self) -> u32 {
        self.first.wrapping_sub(1)
    }

    fn flight_max(&self) -> usize {
        let window = usize::try_from(self.window).unwrap_or(usize::MAX);
        window.min(FLIGHT_BYTES_MAX).min(self.segment_bytes.saturating_mul(FLIGHT_SEGMENTS_MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SEGMENT: usize = 100;

    fn sender(first: u32, text: &[u8]) -> Sender {
        let mut sender = Sender::new(first, SEGMENT);
        sender.agree(60_000, 0, SEGMENT);
        sender.ring.reserve(text.len());
        sender.ring.push(text);
        sender
    }

    fn send_all(sender: &mut Sender, now: Instant) -> Vec<Piece> {
        std::iter::from_fn(|| {
            let piece = sender.next_piece()?;
            sender.sent(piece, now);
            Some(piece)
        })
        .collect()
    }

    #[test]
    fn the_end_is_sent_with_the_last_bytes_and_acknowledged_behind_them() {
        let now = Instant::now();
        let mut sender = sender(u32::MAX - 50, &[7; 150]);
        sender.end();
        let pieces = send_all(&mut sender, now);
        let seen: Vec<_> = pieces.iter().map(|piece| (piece.length, piece.is_last)).collect();
        assert_eq!(seen, [(100, false), (50, true)]);
        let end = (u32::MAX - 50).wrapping_add(150);
        assert_eq!(sender.acknowledge(end, 1000, true, now), (true, Need::Nothing));
        assert!(!sender.is_done());
        assert_eq!(sender.acknowledge(end.wrapping_add(1), 1000, true, now), (true, Need::Nothing));
        assert!(sender.is_done() && sender.deadline().is_none());
        assert_eq!(sender.next_piece(), None);
    }

    #[test]
    fn three_duplicates_are_a_loss_and_what_is_missing_behind_it_follows() {
        let now = Instant::now();
        let mut sender = sender(0, &[7; 500]);
        send_all(&mut sender, now);
        assert_eq!(sender.acknowledge(100, 60_000, true, now).1, Need::Nothing);
        let needs: Vec<_> = (0..5).map(|_| sender.acknowledge(100, 60_000, true, now).1).collect();
        let first = Piece { sequence: 100, offset: 0, length: 100, is_last: false, is_pushed: true };
        assert_eq!(needs, [Need::Nothing, Need::Nothing, Need::Repeat(first), Need::Nothing, Need::Nothing]);
        let second = Piece { sequence: 300, ..first };
        assert_eq!(sender.acknowledge(300, 60_000, true, now).1, Need::Repeat(second));
        assert_eq!(sender.acknowledge(500, 60_000, true, now).1, Need::Nothing);
    }

    #[test]
    fn a_closed_window_is_probed_and_silence_is_the_end() {
        let mut now = Instant::now();
        let mut sender = sender(10, b"text");
        sender.acknowledge(10, 0, true, now);
        assert_eq!(sender.next_piece(), None);
        sender.wait(now);
        now = sender.deadline().unwrap();
        assert_eq!(sender.look(now), Need::Probe);
        for _ in 0..1000 {
            now += RETRY_MAX;
            sender.acknowledge(10, 0, true, now);
            assert_eq!(sender.look(now), Need::Probe, "it answers");
        }
        let end = now + SILENCE_MAX + RETRY_MAX;
        while now < end {
            assert_ne!(sender.look(now), Need::GiveUp);
            now += RETRY_MAX;
        }
        now += RETRY_MAX;
        assert_eq!(sender.look(now), Need::GiveUp);
    }

    #[test]
    fn an_acknowledgement_of_what_was_never_sent_changes_nothing() {
        let now = Instant::now();
        let mut sender = sender(10, b"text");
        send_all(&mut sender, now);
        for number in [9, 15, 10_000, 0x8000_000a] {
            assert_eq!(sender.acknowledge(number, 0, true, now), (false, Need::Nothing), "{number}");
        }
        assert_eq!((sender.ring.len(), sender.window), (4, 60_000));
    }

    proptest! {
        /// A guest behind a queue that loses some.
        #[test]
        fn everything_arrives_whatever_is_lost(
            first: u32, length in 0_usize..3000, window in 0_u16..1000, losses in proptest::collection::vec(any::<bool>(), 0..60),
        ) {
            let text: Vec<u8> = (0..=250).cycle().take(length).collect();
            let mut now = Instant::now();
            let mut sender = sender(first, &text);
            sender.end();
            let mut losses = losses.into_iter();
            let (mut got, mut parts, mut is_over) = (Vec::<u8>::new(), std::collections::BTreeMap::<u32, (Vec<u8>, bool)>::new(), false);
            let mut rounds = 0;
            while !sender.is_done() {
                rounds += 1;
                prop_assert!(rounds < 10_000);
                let mut pieces: Vec<(Piece, Vec<u8>)> = send_all(&mut sender, now).into_iter()
                    .map(|piece| (piece, sender.ring.slices(piece.offset, piece.length).concat())).collect();
                if pieces.is_empty() {
                    sender.wait(now);
                    now = sender.deadline().unwrap_or(now);
                    if let Need::Repeat(piece) = sender.look(now) {
                        pieces.push((piece, sender.ring.slices(piece.offset, piece.length).concat()));
                    }
                }
                while let Some((piece, bytes)) = pieces.pop() {
                    if losses.next() == Some(true) {
                        continue;
                    }
                    parts.insert(piece.sequence.wrapping_sub(first), (bytes, piece.is_last));
                    while let Some((bytes, is_last)) = parts.get(&u32::try_from(got.len()).unwrap()).filter(|_| !is_over) {
                        got.extend(bytes);
                        is_over = *is_last;
                        if bytes.is_empty() { break; }
                    }
                    let number = first.wrapping_add(u32::try_from(got.len()).unwrap()).wrapping_add(is_over.into());
                    let window = if rounds % 3 == 0 { window } else { 1000 };
                    if let (_, Need::Repeat(piece)) = sender.acknowledge(number, window, true, now) {
                        pieces.push((piece, sender.ring.slices(piece.offset, piece.length).concat()));
                    }
                }
                let number = first.wrapping_add(u32::try_from(got.len()).unwrap()).wrapping_add(is_over.into());
                sender.acknowledge(number, 1000, false, now);
            }
            prop_assert_eq!(got, text);
        }
    }
}
