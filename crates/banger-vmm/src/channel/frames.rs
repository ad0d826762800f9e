//! Frames of yamux as they pass by: their headers are read, their bodies are counted. What a frame may say is decided
//! in [`super::conduct`]. Source: the specification of yamux (github.com/hashicorp/yamux/blob/master/spec.md).

const HEADER_BYTES: usize = 12;

pub(super) const SYN: u16 = 1;
pub(super) const FIN: u16 = 4;
pub(super) const RST: u16 = 8;

/// Kind of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A body of this many bytes follows.
    Data(u32),
    /// The receiver may send this many bytes more.
    WindowUpdate(u32),
    Ping,
    GoAway,
    /// Not a header of yamux.
    Unknown,
}

/// What the header of a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) flags: u16,
    pub(super) stream: u32,
}

impl Header {
    fn decode(bytes: [u8; HEADER_BYTES]) -> Self {
        let [version, kind, flags @ .., s0, s1, s2, s3, l0, l1, l2, l3] = bytes;
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        let kind = match (version, kind) {
            (0, 0) => Kind::Data(length),
            (0, 1) => Kind::WindowUpdate(length),
            (0, 2) => Kind::Ping,
            (0, 3) => Kind::GoAway,
            _ => Kind::Unknown,
        };
        Self { kind, flags: u16::from_be_bytes(flags), stream: u32::from_be_bytes([s0, s1, s2, s3]) }
    }

    pub(super) fn has(self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

/// Returns a data frame for a stream that does not exist: the peer of a session skips it.
pub(super) fn unheard(body: &[u8]) -> Vec<u8> {
    // Even numbers are the guest's, and it opens no stream.
    const STREAM: u32 = 2;
    let mut frame = vec![0; 4];
    frame.extend(STREAM.to_be_bytes());
    frame.extend(u32::try_from(body.len()).unwrap_or_default().to_be_bytes());
    frame.extend(body);
    frame
}

/// Finds the frames in bytes that come in pieces of any size.
#[derive(Debug, Default)]
pub(super) struct FrameReader {
    header: [u8; HEADER_BYTES],
    header_filled: usize,
    body_left: usize,
}

impl FrameReader {
    /// Takes bytes; calls `on_header` for each header that they complete, and stops at its first error.
    pub(super) fn take<E>(
        &mut self,
        mut bytes: &[u8],
        mut on_header: impl FnMut(Header) -> Result<(), E>,
    ) -> Result<(), E> {
        while !bytes.is_empty() {
            let skipped = self.body_left.min(bytes.len());
            self.body_left -= skipped;
            let (_, rest) = bytes.split_at(skipped);
            let wanted = HEADER_BYTES.saturating_sub(self.header_filled).min(rest.len());
            let (piece, rest) = rest.split_at(wanted);
            for (place, byte) in self.header.iter_mut().skip(self.header_filled).zip(piece) {
                *place = *byte;
            }
            self.header_filled += piece.len();
            bytes = rest;
            if self.header_filled == HEADER_BYTES {
                self.header_filled = 0;
                let header = Header::decode(self.header);
                if let Kind::Data(length) = header.kind {
                    self.body_left = usize::try_from(length).unwrap_or(usize::MAX);
                }
                on_header(header)?;
            }
        }
        Ok(())
    }

    /// Tells whether the next byte begins a frame.
    pub(super) fn is_between_frames(&self) -> bool {
        self.header_filled == 0 && self.body_left == 0
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn headers_are_found_however_the_bytes_are_cut() {
        let mut bytes = unheard(b"hello");
        bytes.extend([0, 1, 0, 1, 0, 0, 0, 7, 0, 1, 0, 0]);
        bytes.extend(unheard(b""));
        bytes.extend([10; HEADER_BYTES]);
        for size in 1..=bytes.len() {
            let (mut reader, mut found) = (FrameReader::default(), Vec::new());
            for piece in bytes.chunks(size) {
                let Ok(()) = reader.take(piece, |header| {
                    found.push((header.kind, header.flags, header.stream));
                    Ok::<(), Infallible>(())
                });
            }
            let expected = [
                (Kind::Data(5), 0, 2),
                (Kind::WindowUpdate(65_536), SYN, 7),
                (Kind::Data(0), 0, 2),
                (Kind::Unknown, 0x0a0a, 0x0a0a_0a0a),
            ];
            assert_eq!(found, expected, "in pieces of {size}");
            assert!(reader.is_between_frames());
        }
    }

    #[test]
    fn inside_a_frame_is_not_between_frames() {
        let frame = unheard(b"hello");
        for cut in 1..frame.len() {
            let mut reader = FrameReader::default();
            let Ok(()) = reader.take(&frame[..cut], |_| Ok::<(), Infallible>(()));
            assert!(!reader.is_between_frames(), "after {cut} bytes");
        }
    }
}
