//! Handshake of the serial channel. It finds the start of a new session in a pipe that may still hold bytes of an old one
//! (the host program was killed, or the guest was restored from a snapshot).
//!
//! ```text
//! host                                guest
//!  │ [flush bytes] SYN <nonce>\n ───▶ │  scans its input for a line that starts with the mark
//!  │ ◀────────────── ACK <nonce>\n    │  for the first SYN of each nonce
//!  │ GO <nonce>\n ──────────────────▶ │  of the last SYN's nonce: from here on yamux, the guest is the server
//! ```
//! The host uses a new nonce for every connection, and may repeat SYN until it sees the ACK. Before a repetition it sends
//! [`FLUSH_BYTES`] newlines, so that a guest that still reads a frame of the old session reaches the frame's end, fails on
//! the next header and scans again: a newline (10) is not a version of yamux, whose headers start with 0.

/// Longest line of the handshake, with its newline.
pub const LINE_BYTES_MAX: usize = 64;

/// Longest frame that either side sends, and so the number of bytes that pushes a guest out of an old frame.
pub const FLUSH_BYTES: usize = 64 * 1024;

const MARK: &str = "banger-channel-1";

/// A line of the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// The host asks for a new session.
    Syn(u64),
    /// The guest has seen the request.
    Ack(u64),
    /// The host has seen the answer: the session starts after this line.
    Go(u64),
}

impl Line {
    /// Returns the line with a newline before and after it, so that it stands alone whatever came before.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let (verb, nonce) = match self {
            Self::Syn(nonce) => ("SYN", nonce),
            Self::Ack(nonce) => ("ACK", nonce),
            Self::Go(nonce) => ("GO", nonce),
        };
        format!("\n{MARK} {verb} {nonce:016x}\n").into_bytes()
    }

    /// Decodes a line without its newline. `None` if it is not a line of the handshake.
    #[must_use]
    pub fn decode(line: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(line).ok()?.strip_prefix(MARK)?.strip_prefix(' ')?;
        let (verb, nonce) = text.split_once(' ')?;
        if nonce.len() != 16 {
            return None;
        }
        let nonce = u64::from_str_radix(nonce, 16).ok()?;
        match verb {
            "SYN" => Some(Self::Syn(nonce)),
            "ACK" => Some(Self::Ack(nonce)),
            "GO" => Some(Self::Go(nonce)),
            _ => None,
        }
    }
}

/// Splits bytes into lines and returns those of the handshake; everything else is dropped.
#[derive(Debug, Default)]
pub struct LineScanner {
    line: Vec<u8>,
    is_overlong: bool,
}

impl LineScanner {
    /// Consumes one byte; returns a line if this byte ends one.
    pub fn push(&mut self, byte: u8) -> Option<Line> {
        if byte != b'\n' {
            if self.line.len() < LINE_BYTES_MAX {
                self.line.push(byte);
            } else {
                self.is_overlong = true;
            }
            return None;
        }
        let line = if self.is_overlong { None } else { Line::decode(&self.line) };
        self.line.clear();
        self.is_overlong = false;
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(bytes: &[u8]) -> Vec<Line> {
        let mut scanner = LineScanner::default();
        bytes.iter().filter_map(|byte| scanner.push(*byte)).collect()
    }

    #[test]
    fn a_line_survives_encoding() {
        for line in [Line::Syn(0), Line::Ack(u64::MAX), Line::Go(0x0123_4567_89ab_cdef)] {
            assert_eq!(scan(&line.encode()), [line]);
        }
    }

    #[test]
    fn a_line_is_found_behind_the_rest_of_an_old_session() {
        let mut bytes = vec![0, 1, 2, b'\n', 255, 0, 0];
        bytes.extend(vec![b'x'; 1000]);
        bytes.extend(vec![b'\n'; 100]);
        bytes.extend(Line::Syn(7).encode());
        bytes.extend(Line::Go(7).encode());
        assert_eq!(scan(&bytes), [Line::Syn(7), Line::Go(7)]);
    }

    #[test]
    fn a_line_with_a_bad_nonce_is_dropped() {
        assert_eq!(scan(b"banger-channel-1 SYN 12\nbanger-channel-1 SYN zzzzzzzzzzzzzzzz\n"), []);
    }
}
