//! The Internet checksum.
//! Source: RFC 1071.

use std::net::IpAddr;

/// A sum of 16-bit words that is not folded yet. The words are in the byte order of this machine: folded, the sum is the same
/// in either order.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sum {
    words: u64,
    /// The bytes so far end in the middle of a word.
    is_odd: bool,
}

impl Sum {
    /// The pseudo header of a transport's packet.
    pub(crate) fn of_pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, length: usize) -> Self {
        let sum = Self::default().and_address(source).and_address(destination);
        let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
        sum.and(&length).and(&[0, protocol])
    }

    fn and_address(self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => self.and(&address.octets()),
            IpAddr::V6(address) => self.and(&address.octets()),
        }
    }

    /// Adds bytes.
    pub(crate) fn and(self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<4>();
        let sum: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
        let mut last = [0; 4];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        let sum = sum.wrapping_add(u64::from(u32::from_ne_bytes(last)));
        // Bytes behind an odd number of others stand in the other half of their words.
        let sum = if self.is_odd { u64::from(fold(sum).swap_bytes()) } else { sum };
        Self { words: self.words.wrapping_add(sum), is_odd: self.is_odd != (bytes.len() % 2 == 1) }
    }

    /// Returns the checksum, as it stands in a packet.
    pub(crate) fn checksum(self) -> [u8; 2] {
        (!fold(self.words)).to_ne_bytes()
    }

    /// Tells whether the sum over a packet with its checksum is right.
    pub(crate) fn is_right(self) -> bool {
        // A fuzzer would look for right checksums and nothing else.
        cfg!(fuzzing) || self.checksum() == [0, 0]
    }
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_known_packet_has_the_known_checksum() {
        // The example of RFC 1071.
        let sum = Sum::default().and(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.checksum(), [!0xdd, !0xf2]);
    }

    proptest! {
        #[test]
        fn the_sum_is_that_of_the_words(bytes in proptest::collection::vec(any::<u8>(), 0..100), cut in 0_usize..100) {
            let mut plain: u32 = 0;
            for word in bytes.chunks(2) {
                plain += u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0));
            }
            while plain > 0xffff {
                plain = (plain & 0xffff) + (plain >> 16);
            }
            let (one, other) = bytes.split_at(cut.min(bytes.len()));
            prop_assert_eq!(Sum::default().and(one).and(other).checksum(), (!u16::try_from(plain).unwrap()).to_be_bytes());
        }
    }
}
