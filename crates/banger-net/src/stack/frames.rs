//! Frames in a stream of bytes, each behind its length.

use std::io;
use std::ops::Range;
use std::os::fd::AsFd;

use rustix::io::{Errno, read};

const LENGTH_BYTES: usize = 4;

/// Longest frame that QEMU may send: its buffer holds 68 KiB.
const BYTES_MAX: usize = 128 * 1024;

const BUFFER_BYTES: usize = 2 * BYTES_MAX;

/// What was read and not yet taken.
pub(crate) struct Frames {
    buffer: Vec<u8>,
    taken: usize,
    filled: usize,
}

impl Frames {
    pub(super) fn new() -> Self {
        Self { buffer: vec![0; BUFFER_BYTES], taken: 0, filled: 0 }
    }

    /// Reads more, and returns how much that was. Call it when there is no whole frame left.
    pub(super) fn fill(&mut self, from: impl AsFd) -> Result<usize, Errno> {
        self.buffer.copy_within(self.taken..self.filled, 0);
        self.filled -= self.taken;
        self.taken = 0;
        let count = read(from, self.buffer.get_mut(self.filled..).unwrap_or_default())?;
        self.filled += count;
        Ok(count)
    }

    /// Tells whether there is a whole frame.
    pub(super) fn has_next(&self) -> io::Result<bool> {
        Ok(self.next_range()?.is_some())
    }

    /// Takes the next whole frame.
    pub(super) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let Some(range) = self.next_range()? else { return Ok(None) };
        self.taken = range.end;
        Ok(self.buffer.get(range))
    }

    fn next_range(&self) -> io::Result<Option<Range<usize>>> {
        let waiting = self.buffer.get(self.taken..self.filled).unwrap_or_default();
        let Some((length, behind)) = waiting.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame is too long"));
        }
        let begin = self.taken + LENGTH_BYTES;
        Ok((behind.len() >= length).then_some(begin..begin + length))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;

    use proptest::prelude::*;

    use super::*;

    fn append(stream: &mut Vec<u8>, frame: &[u8]) {
        stream.extend(u32::try_from(frame.len()).unwrap().to_be_bytes());
        stream.extend(frame);
    }

    /// Reads frames out of a stream that is sent in pieces of this size.
    fn seen(stream: &[u8], cut: usize) -> io::Result<Vec<Vec<u8>>> {
        let (mut sender, receiver) = UnixStream::pair().unwrap();
        let (mut frames, mut seen) = (Frames::new(), Vec::new());
        for piece in stream.chunks(cut) {
            sender.write_all(piece).unwrap();
            frames.fill(&receiver)?;
            while frames.has_next()? {
                seen.push(frames.next()?.unwrap().to_vec());
            }
        }
        Ok(seen)
    }

    #[test]
    fn a_frame_that_nobody_can_send_ends_the_stream() {
        assert_eq!(seen(&[0, 2, 0, 1, 0], 5).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn the_longest_frame_is_taken_behind_another() {
        let mut stream = Vec::new();
        for length in [BYTES_MAX, 1, BYTES_MAX, BYTES_MAX] {
            append(&mut stream, &vec![7; length]);
        }
        let lengths: Vec<_> = seen(&stream, 50_000).unwrap().iter().map(Vec::len).collect();
        assert_eq!(lengths, [BYTES_MAX, 1, BYTES_MAX, BYTES_MAX]);
    }

    proptest! {
        #[test]
        fn frames_come_out_whole_however_the_bytes_are_cut(
            sent in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..8),
            cut in 1_usize..60,
        ) {
            let mut stream = Vec::new();
            for frame in &sent {
                append(&mut stream, frame);
            }
            prop_assert_eq!(seen(&stream, cut).unwrap(), sent);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 1..300)) {
            let _ = seen(&bytes, 300);
        }
    }
}
