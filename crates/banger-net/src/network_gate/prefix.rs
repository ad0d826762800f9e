//! Ranges of IPv4 addresses.

use std::net::Ipv4Addr;

/// A range of addresses: those that have their first `length` bits in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Prefix {
    bits: u32,
    length: u8,
}

impl Prefix {
    /// `length` is at most 32; more is taken for 32. Bits behind it do not count.
    pub(crate) const fn new(address: [u8; 4], length: u8) -> Self {
        let length = if length > 32 { 32 } else { length };
        Self { bits: u32::from_be_bytes(address) & mask(length), length }
    }

    pub(crate) const fn holds(self, address: Ipv4Addr) -> bool {
        address.to_bits() & mask(self.length) == self.bits
    }
}

const fn mask(length: u8) -> u32 {
    // A shift by all bits has no result.
    match u32::MAX.checked_shl(32 - length as u32) {
        Some(mask) => mask,
        None => 0,
    }
}
