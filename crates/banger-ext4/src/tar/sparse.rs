//! Sparse files in tar streams: the stream contains only the parts with data, and a map gives their offsets.

use std::io::{self, Read};

use crate::content::Content;
use crate::disk::geometry::BLOCK_BYTES;

/// A part of a file whose data is in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

/// The complete file: the parts from the stream, with zeros between and after them.
#[derive(Debug)]
pub(crate) struct Expanded<R> {
    stream: R,
    parts: std::vec::IntoIter<Part>,
    current: Part,
    position: u64,
    size: u64,
}

impl<R: Read> Expanded<R> {
    /// Returns `None` if the parts overlap, or reach beyond the file.
    pub(crate) fn new(stream: R, parts: Vec<Part>, size: u64) -> Option<Self> {
        let mut end = 0;
        for part in &parts {
            if part.offset < end {
                return None;
            }
            end = part.offset.checked_add(part.size)?;
        }
        let current = Part { offset: 0, size: 0 };
        (end <= size).then(|| Self { stream, parts: parts.into_iter(), current, position: 0, size })
    }
}

impl<R: Read> Expanded<R> {
    /// Selects the part at or after the position.
    fn advance(&mut self) {
        while self.position >= self.current.offset + self.current.size && self.current.offset < self.size {
            self.current = self.parts.next().unwrap_or(Part { offset: self.size, size: 0 });
        }
    }
}

impl<R: Read> Content for Expanded<R> {
    fn skip_zeros(&mut self) -> u64 {
        self.advance();
        let hole = self.current.offset.saturating_sub(self.position);
        let skipped = hole - hole % BLOCK_BYTES;
        self.position += skipped;
        skipped
    }
}

impl<R: Read> Read for Expanded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.advance();
        let in_hole = self.position < self.current.offset;
        let end = if in_hole { self.current.offset } else { self.current.offset + self.current.size };
        let wanted = usize::try_from(end.saturating_sub(self.position)).unwrap_or(usize::MAX).min(into.len());
        let target = into.get_mut(..wanted).unwrap_or_default();
        let read = if in_hole {
            target.fill(0);
            target.len()
        } else {
            self.stream.read(target)?
        };
        self.position += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(stream: &[u8], parts: &[(u64, u64)], size: u64) -> Option<Vec<u8>> {
        let parts = parts.iter().map(|&(offset, size)| Part { offset, size }).collect();
        let mut bytes = Vec::new();
        Expanded::new(stream, parts, size)?.read_to_end(&mut bytes).expect("reads from memory");
        Some(bytes)
    }

    #[test]
    fn zeros_fill_the_gaps() {
        assert_eq!(
            expand(b"abcd", &[(1, 2), (3, 0), (5, 2), (9, 0)], 9).as_deref(),
            Some(&b"\0ab\0\0cd\0\0"[..])
        );
        assert_eq!(expand(b"", &[], 3).as_deref(), Some(&b"\0\0\0"[..]));
        assert_eq!(expand(b"abc", &[(0, 3)], 3).as_deref(), Some(&b"abc"[..]));
        assert_eq!(expand(b"", &[], 0).as_deref(), Some(&b""[..]));
    }

    #[test]
    fn overlapping_parts_and_parts_beyond_the_end_are_refused() {
        assert_eq!(expand(b"abcd", &[(0, 2), (1, 2)], 9), None);
        assert_eq!(expand(b"abcd", &[(8, 2)], 9), None);
        assert_eq!(expand(b"abcd", &[(u64::MAX, 2)], 9), None);
    }
}
