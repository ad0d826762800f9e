//! Bytes on their way, in a buffer that has no more room than they need, and none while there are none.

use std::io::{self, IoSlice, IoSliceMut};

/// Room that a ring has at least, once it has any.
const BYTES_MIN: usize = 16 * 1024;

/// A queue of bytes. Its room is a power of two.
#[derive(Default)]
pub(super) struct Ring {
    room: Box<[u8]>,
    start: usize,
    length: usize,
}

impl Ring {
    pub(super) const fn len(&self) -> usize {
        self.length
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Bytes of memory that it takes.
    pub(super) const fn room(&self) -> usize {
        self.room.len()
    }

    /// Makes room for so many bytes altogether.
    pub(super) fn reserve(&mut self, bytes: usize) {
        if bytes <= self.room.len() {
            return;
        }
        let mut room = vec![0; bytes.next_power_of_two().max(BYTES_MIN)].into_boxed_slice();
        let mut rest = room.as_mut();
        for part in self.slices(0, self.length) {
            let (to, behind) = std::mem::take(&mut rest).split_at_mut(part.len());
            to.copy_from_slice(part);
            rest = behind;
        }
        self.room = room;
        self.start = 0;
    }

    /// Appends as much as there is room for, and returns how much that was.
    pub(super) fn push(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        let mut count = 0;
        for part in self.free() {
            let length = part.len().min(rest.len());
            let (now, later) = rest.split_at(length);
            if let Some(to) = part.get_mut(..length) {
                to.copy_from_slice(now);
            }
            rest = later;
            count += length;
        }
        self.length += count;
        count
    }

    /// Appends what is read into its room, at most so many bytes.
    pub(super) fn fill(
        &mut self,
        bytes_max: usize,
        read: impl FnOnce(&mut [IoSliceMut<'_>]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let [first, second] = self.free();
        let first_bytes = first.len().min(bytes_max);
        let second_bytes = second.len().min(bytes_max - first_bytes);
        let mut parts = [
            IoSliceMut::new(first.get_mut(..first_bytes).unwrap_or_default()),
            IoSliceMut::new(second.get_mut(..second_bytes).unwrap_or_default()),
        ];
        let count = read(&mut parts)?;
        self.length += count.min(first_bytes + second_bytes);
        Ok(count)
    }

    /// Returns so many bytes from an offset on, in two pieces.
    pub(super) fn slices(&self, offset: usize, length: usize) -> [&[u8]; 2] {
        let length = length.min(self.length.saturating_sub(offset));
        if length == 0 {
            return [&[], &[]];
        }
        let start = (self.start + offset) & (self.room.len() - 1);
        let first = length.min(self.room.len() - start);
        let part = |from: usize, length: usize| self.room.get(from..from + length).unwrap_or_default();
        [part(start, first), part(0, length - first)]
    }

    /// Returns everything, for writing.
    pub(super) fn io_slices(&self) -> [IoSlice<'_>; 2] {
        self.slices(0, self.length).map(IoSlice::new)
    }

    /// Forgets so many bytes from the begin. The room goes with the last one.
    pub(super) fn consume(&mut self, bytes: usize) {
        let bytes = bytes.min(self.length);
        self.length -= bytes;
        if self.length == 0 {
            *self = Self::default();
        } else {
            self.start = (self.start + bytes) & (self.room.len() - 1);
        }
    }

    fn free(&mut self) -> [&mut [u8]; 2] {
        let room = self.room.len();
        if room == self.length {
            return [&mut [], &mut []];
        }
        let end = (self.start + self.length) & (room - 1);
        if end < self.start {
            return [self.room.get_mut(end..self.start).unwrap_or_default(), &mut []];
        }
        let (before, after) = self.room.split_at_mut(end);
        [after, before.get_mut(..self.start).unwrap_or_default()]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_queue(steps in proptest::collection::vec((0_usize..3, 0_usize..20_000), 1..40)) {
            let (mut ring, mut queue, mut next) = (Ring::default(), VecDeque::new(), 0_u8);
            for (step, bytes) in steps {
                match step {
                    0 => {
                        ring.consume(bytes);
                        queue.drain(..bytes.min(queue.len()));
                    }
                    1 => {
                        ring.reserve((ring.len() + bytes).min(65_536));
                        let new: Vec<u8> = (0..bytes).map(|_| { next = next.wrapping_add(1); next }).collect();
                        let count = ring.push(&new);
                        queue.extend(&new[..count]);
                    }
                    _ => {
                        let count = ring.fill(bytes, |parts| {
                            let mut count = 0;
                            for part in parts { part.fill(9); count += part.len(); }
                            Ok(count)
                        }).unwrap();
                        prop_assert!(count <= bytes);
                        queue.extend(std::iter::repeat_n(9, count));
                    }
                }
                prop_assert_eq!(ring.slices(0, usize::MAX).concat(), queue.iter().copied().collect::<Vec<_>>());
                let offset = bytes % 100;
                let middle: Vec<u8> = queue.iter().skip(offset).take(50).copied().collect();
                prop_assert_eq!(ring.slices(offset, 50).concat(), middle);
                prop_assert!(!ring.is_empty() || ring.room() == 0 || step == 1);
            }
        }
    }
}
