//! Frames in a stream of bytes, each behind its length.

use std::io::{self, Read};

const LENGTH_BYTES: usize = 4;

/// Longest frame that either side may send. QEMU's buffer holds 68 KiB, passt's 64.
const BYTES_MAX: usize = 128 * 1024;

const BUFFER_BYTES: usize = 2 * BYTES_MAX;

/// What was read and not yet taken.
pub(super) struct Frames {
    buffer: Vec<u8>,
    taken: usize,
    filled: usize,
}

impl Frames {
    pub(super) fn new() -> Self {
        Self { buffer: vec![0; BUFFER_BYTES], taken: 0, filled: 0 }
    }

    /// Reads more. `false`: there is no more. Call it when [`Frames::next`] has nothing left.
    pub(super) fn fill(&mut self, mut from: impl Read) -> io::Result<bool> {
        self.buffer.copy_within(self.taken..self.filled, 0);
        self.filled -= self.taken;
        self.taken = 0;
        let count = from.read(self.buffer.get_mut(self.filled..).unwrap_or_default())?;
        self.filled += count;
        Ok(count > 0)
    }

    /// Takes the next whole frame.
    pub(super) fn next(&mut self) -> io::Result<Option<&mut [u8]>> {
        let waiting = self.buffer.get_mut(self.taken..self.filled).unwrap_or_default();
        let Some((length, behind)) = waiting.split_first_chunk_mut::<LENGTH_BYTES>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame is too long"));
        }
        let Some((frame, _)) = behind.split_at_mut_checked(length) else { return Ok(None) };
        self.taken += LENGTH_BYTES + length;
        Ok(Some(frame))
    }
}

/// Appends a frame behind its length.
pub(super) fn append(stream: &mut Vec<u8>, frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
    stream.extend(length.to_be_bytes());
    stream.extend(frame);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads as much at a time as it is told.
    struct Cut<'bytes>(&'bytes [u8], usize);

    impl Read for Cut<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = buffer.len().min(self.1);
            self.0.read(&mut buffer[..most])
        }
    }

    #[test]
    fn a_frame_that_nobody_can_send_ends_the_stream() {
        let mut frames = Frames::new();
        assert!(frames.fill(&[0, 2, 0, 1, 0][..]).unwrap());
        assert_eq!(frames.next().unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn the_longest_frame_is_taken_behind_another() {
        let mut stream = Vec::new();
        for length in [BYTES_MAX, 1, BYTES_MAX, BYTES_MAX] {
            append(&mut stream, &vec![7; length]).unwrap();
        }
        let (mut frames, mut from, mut seen) = (Frames::new(), Cut(&stream, 100_000), Vec::new());
        while frames.fill(&mut from).unwrap() {
            while let Some(frame) = frames.next().unwrap() {
                seen.push(frame.len());
            }
        }
        assert_eq!(seen, [BYTES_MAX, 1, BYTES_MAX, BYTES_MAX]);
    }

    proptest! {
        #[test]
        fn frames_come_out_whole_however_the_bytes_are_cut(
            sent in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..8),
            cut in 1_usize..60,
        ) {
            let mut stream = Vec::new();
            for frame in &sent {
                append(&mut stream, frame).unwrap();
            }
            let (mut frames, mut from, mut seen) = (Frames::new(), Cut(&stream, cut), Vec::new());
            while frames.fill(&mut from).unwrap() {
                while let Some(frame) = frames.next().unwrap() {
                    seen.push(frame.to_vec());
                }
            }
            prop_assert_eq!(seen, sent);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut frames = Frames::new();
            let _ = frames.fill(&bytes[..]);
            while let Ok(Some(_)) = frames.next() {}
        }
    }
}
