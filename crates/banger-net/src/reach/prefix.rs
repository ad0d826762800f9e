//! Ranges of addresses.

use std::net::{IpAddr, Ipv6Addr};

/// A range of addresses: those that have their first bits in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Prefix {
    is_v4: bool,
    bits: u128,
    length: u8,
}

impl Prefix {
    /// `length` is at most 32; more is taken for 32. Bits behind it do not count.
    pub(crate) const fn v4(address: [u8; 4], length: u8) -> Self {
        let length = if length > 32 { 32 } else { length } + 96;
        Self { is_v4: true, bits: u32::from_be_bytes(address) as u128 & mask(length), length }
    }

    /// `length` is at most 128; more is taken for 128. Bits behind it do not count.
    pub(crate) const fn v6(address: Ipv6Addr, length: u8) -> Self {
        let length = if length > 128 { 128 } else { length };
        Self { is_v4: false, bits: address.to_bits() & mask(length), length }
    }

    pub(crate) fn holds(self, address: IpAddr) -> bool {
        let bits = match address {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        };
        address.is_ipv4() == self.is_v4 && bits & mask(self.length) == self.bits
    }
}

/// Ranges of IPv4 are the last 32 of 128 bits, so the first 96 of both are the same.
const fn mask(length: u8) -> u128 {
    // A shift by all bits has no result.
    match u128::MAX.checked_shl(128 - length as u32) {
        Some(mask) => mask,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_range_of_ipv4_holds_what_begins_like_it(address: u32, other: u32, length in 0_u8..=32) {
            let prefix = Prefix::v4(address.to_be_bytes(), length);
            let has_same_begin = length == 0 || (address ^ other) >> (32 - length) == 0;
            prop_assert_eq!(prefix.holds(Ipv4Addr::from_bits(other).into()), has_same_begin);
            prop_assert!(prefix.holds(Ipv4Addr::from_bits(address).into()));
            prop_assert!(!prefix.holds(Ipv6Addr::from_bits(address.into()).into()));
        }

        #[test]
        fn a_range_of_ipv6_holds_what_begins_like_it(address: u128, other: u128, length in 0_u8..=128) {
            let prefix = Prefix::v6(Ipv6Addr::from_bits(address), length);
            let has_same_begin = length == 0 || (address ^ other) >> (128 - u32::from(length)) == 0;
            prop_assert_eq!(prefix.holds(Ipv6Addr::from_bits(other).into()), has_same_begin);
            prop_assert!(!prefix.holds(Ipv4Addr::from_bits(0).into()));
        }
    }
}
