//! What comes from the guest, in order. What comes out of order is left to the guest to send again: between us and a guest
//! nothing overtakes.
//! Source: RFC 9293, 3.10.7.4.

use super::sequence::{between, distance, plus};

/// How far a window is shifted, if the guest can.
pub(super) const SCALE: u8 = 7;

/// What a guest may send ahead.
pub(super) const WINDOW_BYTES: usize = 1024 * 1024;

pub(super) struct Receiver {
    next: u32,
    /// The guest was told that it may send up to here.
    edge: u32,
    scale: u8,
    is_ended: bool,
}

/// What a segment brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Brought<'segment> {
    pub(super) bytes: &'segment [u8],
    pub(super) is_last: bool,
}

impl Receiver {
    /// Begins behind the guest's SYN.
    pub(super) const fn new(next: u32, scale: u8) -> Self {
        Self { next, edge: next, scale, is_ended: false }
    }

    pub(super) const fn next(&self) -> u32 {
        self.next
    }

    pub(super) const fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Returns what is new in a segment, if it begins where the last one ended, or before.
    pub(super) fn read<'segment>(
        &self,
        sequence: u32,
        bytes: &'segment [u8],
        is_last: bool,
    ) -> Option<Brought<'segment>> {
        if self.is_ended || distance(self.next, sequence) > 0 {
            return None;
        }
        let bytes = bytes.get(between(sequence, self.next)..)?;
        let room = between(self.next, self.edge);
        Some(match bytes.get(..room) {
            Some(inside) if inside.len() < bytes.len() => Brought { bytes: inside, is_last: false },
            Some(_) | None => Brought { bytes, is_last },
        })
    }

    /// So many bytes were taken, and perhaps the end.
    pub(super) fn take(&mut self, bytes: usize, is_last: bool) {
        self.next = plus(self.next, bytes + usize::from(is_last));
        self.is_ended |= is_last;
        if distance(self.next, self.edge) < 0 {
            self.edge = self.next;
        }
    }

    /// Tells whether a reset with this number is meant for now.
    pub(super) const fn is_next(&self, sequence: u32) -> bool {
        sequence == self.next
    }

    /// Returns the window to announce when there is room for so many bytes. What was promised stays promised.
    pub(super) fn window(&mut self, room: usize) -> u16 {
        let edge = plus(self.next, room);
        if distance(self.edge, edge) > 0 {
            self.edge = edge;
        }
        u16::try_from(between(self.next, self.edge) >> self.scale).unwrap_or(u16::MAX)
    }

    /// Returns the window of a SYN, which is never shifted.
    pub(super) fn first_window(&mut self) -> u16 {
        self.edge = plus(self.next, u16::MAX.into());
        u16::MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receiver() -> Receiver {
        let mut receiver = Receiver::new(u32::MAX - 1, 0);
        receiver.window(10);
        receiver
    }

    #[test]
    fn a_segment_is_taken_from_where_the_last_one_ended() {
        let mut receiver = receiver();
        let first = receiver.read(u32::MAX - 1, b"abcd", false).unwrap();
        assert_eq!(first, Brought { bytes: b"abcd", is_last: false });
        receiver.take(4, false);
        assert_eq!(
            receiver.read(u32::MAX - 1, b"abcdef", true),
            Some(Brought { bytes: b"ef", is_last: true })
        );
        assert_eq!(receiver.read(u32::MAX - 1, b"ab", false), None, "nothing new");
        assert_eq!(receiver.read(3, b"later", false), None);
        receiver.take(2, true);
        assert_eq!(receiver.read(4, b"g", false), None, "behind the end");
    }

    #[test]
    fn what_is_beyond_the_window_is_left() {
        let receiver = receiver();
        let brought = receiver.read(u32::MAX - 1, b"0123456789ab", true).unwrap();
        assert_eq!(brought, Brought { bytes: b"0123456789", is_last: false });
    }

    #[test]
    fn a_promise_is_kept() {
        let mut receiver = receiver();
        assert_eq!(receiver.window(0), 10);
        receiver.take(4, false);
        assert_eq!((receiver.window(0), receiver.window(8)), (6, 8));
    }
}
