//! Ethernet frames.

use super::bytes::Bytes;

pub(crate) const HEADER_BYTES: usize = 14;

/// A hardware address.
pub(crate) type Mac = [u8; 6];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EtherType {
    Arp,
    Ipv4,
    Ipv6,
}

impl EtherType {
    const fn bytes(self) -> [u8; 2] {
        match self {
            Self::Arp => [0x08, 0x06],
            Self::Ipv4 => [0x08, 0x00],
            Self::Ipv6 => [0x86, 0xdd],
        }
    }
}

/// A frame of a known kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'frame> {
    pub(crate) source: Mac,
    pub(crate) ether_type: EtherType,
    pub(crate) payload: &'frame [u8],
}

/// Reads a frame. `None`: it is cut, its sender is a group, or its kind is none of ours.
pub(crate) fn read(frame: &[u8]) -> Option<Frame<'_>> {
    let mut bytes = Bytes(frame);
    let _destination: Mac = bytes.array()?;
    let source: Mac = bytes.array()?;
    let ether_type = match bytes.array()? {
        [0x08, 0x06] => EtherType::Arp,
        [0x08, 0x00] => EtherType::Ipv4,
        [0x86, 0xdd] => EtherType::Ipv6,
        _ => return None,
    };
    let is_group = source.first()? & 1 == 1;
    (!is_group).then_some(Frame { source, ether_type, payload: bytes.0 })
}

/// Returns the header of a frame.
pub(crate) fn header(source: Mac, destination: Mac, ether_type: EtherType) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    let parts = destination.into_iter().chain(source).chain(ether_type.bytes());
    for (to, from) in header.iter_mut().zip(parts) {
        *to = from;
    }
    header
}
