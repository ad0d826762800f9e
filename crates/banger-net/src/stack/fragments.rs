//! Packets of the guest that come in pieces. Pieces that overlap are pieces of a trick: the packet is dropped.
//! Source: RFC 791, RFC 8200 (4.5), RFC 5722.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::wire::ip::Packet;

/// Packets that are being put together at once.
const PACKETS_MAX: usize = 16;
/// A packet is no longer than 64 KiB, and pieces are no shorter than what every link carries.
const PIECES_MAX: usize = 128;
const PACKET_BYTES_MAX: usize = 65_535;
const AGE_MAX: Duration = Duration::from_secs(15);

#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    id: u32,
}

struct Partial {
    key: Key,
    begun_at: Instant,
    /// By offset. None overlap.
    pieces: Vec<(usize, Vec<u8>)>,
    /// Known when the last piece has come.
    length: Option<usize>,
    is_spoiled: bool,
}

#[derive(Default)]
pub(super) struct Fragments(Vec<Partial>);

impl Fragments {
    /// Takes a piece, and returns what the whole packet carries if it was the last one that was missing.
    pub(super) fn take(&mut self, packet: &Packet<'_>, now: Instant) -> Option<Vec<u8>> {
        let fragment = packet.fragment?;
        let key = Key {
            source: packet.source,
            destination: packet.destination,
            protocol: packet.protocol,
            id: fragment.id,
        };
        self.0.retain(|partial| now.saturating_duration_since(partial.begun_at) < AGE_MAX);
        let at = self.0.iter().position(|partial| partial.key == key).unwrap_or_else(|| {
            if self.0.len() == PACKETS_MAX {
                self.0.remove(0);
            }
            self.0.push(Partial { key, begun_at: now, pieces: Vec::new(), length: None, is_spoiled: false });
            self.0.len() - 1
        });
        let partial = self.0.get_mut(at)?;
        partial.add(fragment.offset, packet.payload, fragment.is_last);
        if !partial.is_whole() {
            return None;
        }
        let partial = self.0.remove(at);
        Some(partial.pieces.into_iter().flat_map(|(_offset, bytes)| bytes).collect())
    }
}

impl Partial {
    fn add(&mut self, offset: usize, bytes: &[u8], is_last: bool) {
        let end = offset + bytes.len();
        let at = self.pieces.partition_point(|(begin, _)| *begin < offset);
        let before = at.checked_sub(1).and_then(|before| self.pieces.get(before));
        let overlaps = before.is_some_and(|(begin, bytes)| begin + bytes.len() > offset)
            || self.pieces.get(at).is_some_and(|(begin, _)| end > *begin)
            || self.length.is_some_and(|length| end > length || is_last);
        // Only the last piece may have any length.
        let is_odd =
            bytes.is_empty() || (!is_last && !bytes.len().is_multiple_of(8)) || end > PACKET_BYTES_MAX;
        if self.is_spoiled || overlaps || is_odd || self.pieces.len() == PIECES_MAX {
            self.is_spoiled = true;
            self.pieces.clear();
            return;
        }
        if is_last {
            self.length = Some(end);
            self.is_spoiled = self.pieces.last().is_some_and(|(begin, bytes)| begin + bytes.len() > end);
        }
        self.pieces.insert(at, (offset, bytes.to_vec()));
    }

    fn is_whole(&self) -> bool {
        let bytes: usize = self.pieces.iter().map(|(_offset, bytes)| bytes.len()).sum();
        !self.is_spoiled && self.length == Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::ip::Fragment;

    fn packet(id: u32, offset: usize, payload: &[u8], is_last: bool) -> Packet<'_> {
        let [source, destination] = ["10.0.2.15", "192.0.2.2"].map(|text| text.parse().unwrap());
        let fragment = Some(Fragment { id, offset, is_last });
        Packet { source, destination, protocol: 17, hop_limit: 64, fragment, payload }
    }

    #[test]
    fn pieces_that_overlap_make_no_packet() {
        let now = Instant::now();
        for (offset, bytes, is_last) in
            [(0, 16, false), (8, 8, true), (0, 24, false), (8, 16, false), (4, 8, false)]
        {
            let mut fragments = Fragments::default();
            assert_eq!(fragments.take(&packet(1, 0, &[1; 16], false), now), None);
            assert_eq!(fragments.take(&packet(1, offset, &vec![2; bytes], is_last), now), None);
            assert_eq!(fragments.take(&packet(1, 16, &[3; 8], true), now), None, "{offset} {bytes}");
        }
    }

    #[test]
    fn a_flood_of_pieces_is_bounded() {
        let (mut fragments, now) = (Fragments::default(), Instant::now());
        for id in 0..10_000 {
            for at in 0..200 {
                fragments.take(&packet(id, at * 8, &[1; 8], false), now);
                if id > 100 {
                    break;
                }
            }
        }
        assert_eq!(fragments.0.len(), PACKETS_MAX);
        assert!(fragments.0.iter().all(|partial| partial.pieces.len() <= PIECES_MAX));
        assert_eq!(fragments.take(&packet(9_999, 8, &[1; 8], true), now).map(|bytes| bytes.len()), Some(16));
        fragments.take(&packet(0, 0, &[1; 8], false), now + AGE_MAX);
        assert_eq!(fragments.0.len(), 1, "the others are too old");
    }

    proptest! {
        #[test]
        fn pieces_in_any_order_make_the_packet(lengths in proptest::collection::vec(1_usize..40, 2..10), seed: u64) {
            let now = Instant::now();
            let mut pieces = Vec::new();
            let mut offset = 0;
            for (at, length) in lengths.iter().enumerate() {
                pieces.push((offset, vec![u8::try_from(at).unwrap(); length * 8], at + 1 == lengths.len()));
                offset += length * 8;
            }
            let whole: Vec<u8> = pieces.iter().flat_map(|(_, bytes, _)| bytes.clone()).collect();
            let count = pieces.len();
            for at in 0..count {
                pieces.swap(at, usize::try_from(seed >> (at % 32)).unwrap() % count);
            }
            let mut fragments = Fragments::default();
            let mut results: Vec<_> = pieces.iter()
                .map(|(offset, bytes, is_last)| fragments.take(&packet(7, *offset, bytes, *is_last), now)).collect();
            prop_assert_eq!(results.pop().unwrap(), Some(whole));
            prop_assert!(results.iter().all(Option::is_none));
        }
    }
}
