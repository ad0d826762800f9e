//! IP headers, both versions. A packet with two readings has none: options of IPv4 and extension headers of IPv6 but a
//! fragment's are refused, and so is a packet whose lengths or checksum are wrong.
//! Source: RFC 791, RFC 8200.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::bytes::Bytes;
use super::checksum::Sum;
use super::ethernet::{self, EtherType, Mac};

pub(crate) const IPV4_BYTES: usize = 20;
pub(crate) const IPV6_BYTES: usize = 40;
const FRAGMENT_BYTES: usize = 8;

pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const FRAGMENT: u8 = 44;
pub(crate) const ICMPV6: u8 = 58;

/// Of packets that we send.
const HOP_LIMIT: u8 = 64;
/// Of neighbour discovery: a packet that came over a router has less.
pub(crate) const HOP_LIMIT_MAX: u8 = 255;

const DO_NOT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const RESERVED: u16 = 0x8000;

/// A packet, or a piece of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet<'packet> {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) hop_limit: u8,
    pub(crate) fragment: Option<Fragment>,
    pub(crate) payload: &'packet [u8],
}

/// The place of a piece in its packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fragment {
    pub(crate) id: u32,
    /// In bytes.
    pub(crate) offset: usize,
    pub(crate) is_last: bool,
}

/// Reads an IPv4 packet.
pub(crate) fn read_v4(packet: &[u8]) -> Option<Packet<'_>> {
    let mut bytes = Bytes(packet);
    let header = bytes.array::<IPV4_BYTES>()?;
    let mut fields = Bytes(&header);
    // Version 4, and a header without options.
    let is_plain = fields.u8()? == 0x45;
    let _service = fields.u8()?;
    let length = usize::from(fields.u16()?);
    let id = u32::from(fields.u16()?);
    let place = fields.u16()?;
    let hop_limit = fields.u8()?;
    let protocol = fields.u8()?;
    let _checksum = fields.u16()?;
    let source = Ipv4Addr::from(fields.array::<4>()?).into();
    let destination = Ipv4Addr::from(fields.array::<4>()?).into();
    if !is_plain || place & RESERVED != 0 || !Sum::default().and(&header).is_right() {
        return None;
    }
    // What follows is padding.
    let payload = bytes.take(length.checked_sub(IPV4_BYTES)?)?;
    let is_last = place & MORE_FRAGMENTS == 0;
    let offset = usize::from(place & !(DO_NOT_FRAGMENT | MORE_FRAGMENTS | RESERVED)) * 8;
    let fragment = (!is_last || offset > 0).then_some(Fragment { id, offset, is_last });
    Some(Packet { source, destination, protocol, hop_limit, fragment, payload })
}

/// Reads an IPv6 packet.
pub(crate) fn read_v6(packet: &[u8]) -> Option<Packet<'_>> {
    let mut bytes = Bytes(packet);
    let is_version_6 = bytes.u32()? >> 28 == 6;
    let length = usize::from(bytes.u16()?);
    let protocol = bytes.u8()?;
    let hop_limit = bytes.u8()?;
    let source = Ipv6Addr::from(bytes.array::<16>()?).into();
    let destination = Ipv6Addr::from(bytes.array::<16>()?).into();
    let payload = bytes.take(length)?;
    let packet = Packet { source, destination, protocol, hop_limit, fragment: None, payload };
    match (is_version_6, protocol) {
        (false, _) => None,
        (true, FRAGMENT) => read_fragment(packet),
        (true, _) => Some(packet),
    }
}

fn read_fragment(packet: Packet<'_>) -> Option<Packet<'_>> {
    let mut bytes = Bytes(packet.payload);
    let protocol = bytes.u8()?;
    let _reserved = bytes.u8()?;
    let place = bytes.u16()?;
    let id = bytes.u32()?;
    let is_last = place & 1 == 0;
    let offset = usize::from(place & !7);
    let fragment = (!is_last || offset > 0).then_some(Fragment { id, offset, is_last });
    // A fragment header in a fragment would be a second reading.
    (protocol != FRAGMENT).then_some(Packet { protocol, fragment, payload: bytes.0, ..packet })
}

/// The headers of a frame that we send: Ethernet and IP.
pub(crate) struct Header {
    pub(crate) source_mac: Mac,
    pub(crate) destination_mac: Mac,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
}

impl Header {
    /// Appends the headers of a packet with this many bytes behind them.
    pub(crate) fn write(&self, payload_bytes: usize, to: &mut Vec<u8>) {
        self.write_with(payload_bytes, HOP_LIMIT, None, to);
    }

    /// Appends the headers of a packet that no router may forward.
    pub(crate) fn write_of_the_link(&self, payload_bytes: usize, to: &mut Vec<u8>) {
        self.write_with(payload_bytes, HOP_LIMIT_MAX, None, to);
    }

    /// Appends the headers of a piece of a packet.
    pub(crate) fn write_fragment(&self, payload_bytes: usize, fragment: Fragment, to: &mut Vec<u8>) {
        self.write_with(payload_bytes, HOP_LIMIT, Some(fragment), to);
    }

    fn write_with(&self, payload_bytes: usize, hop_limit: u8, fragment: Option<Fragment>, to: &mut Vec<u8>) {
        match (self.source, self.destination) {
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                to.extend(ethernet::header(self.source_mac, self.destination_mac, EtherType::Ipv6));
                self.write_v6(source, destination, payload_bytes, (hop_limit, fragment), to);
            }
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                to.extend(ethernet::header(self.source_mac, self.destination_mac, EtherType::Ipv4));
                self.write_v4(source, destination, payload_bytes, (hop_limit, fragment), to);
            }
            // Both ends of a flow are of one family.
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {}
        }
    }

    fn write_v4(
        &self,
        source: Ipv4Addr,
        destination: Ipv4Addr,
        payload_bytes: usize,
        (hop_limit, fragment): (u8, Option<Fragment>),
        to: &mut Vec<u8>,
    ) {
        let length = u16::try_from(payload_bytes + IPV4_BYTES).unwrap_or(u16::MAX);
        let [high, low] = length.to_be_bytes();
        let mut header = vec![0x45, 0, high, low];
        let (id, place) = match fragment {
            None => (0, DO_NOT_FRAGMENT),
            Some(Fragment { id, offset, is_last }) => {
                let offset = u16::try_from(offset / 8).unwrap_or(u16::MAX);
                (id, if is_last { offset } else { offset | MORE_FRAGMENTS })
            }
        };
        let [_, _, id @ ..] = id.to_be_bytes();
        header.extend(id);
        header.extend(place.to_be_bytes());
        header.extend([hop_limit, self.protocol, 0, 0]);
        header.extend(source.octets());
        header.extend(destination.octets());
        let checksum = Sum::default().and(&header).checksum();
        if let Some(field) = header.get_mut(10..12) {
            field.copy_from_slice(&checksum);
        }
        to.extend(header);
    }

    fn write_v6(
        &self,
        source: Ipv6Addr,
        destination: Ipv6Addr,
        payload_bytes: usize,
        (hop_limit, fragment): (u8, Option<Fragment>),
        to: &mut Vec<u8>,
    ) {
        let more_bytes = if fragment.is_some() { FRAGMENT_BYTES } else { 0 };
        let length = u16::try_from(payload_bytes + more_bytes).unwrap_or(u16::MAX);
        to.extend([0x60, 0, 0, 0]);
        to.extend(length.to_be_bytes());
        to.extend([if fragment.is_some() { FRAGMENT } else { self.protocol }, hop_limit]);
        to.extend(source.octets());
        to.extend(destination.octets());
        if let Some(Fragment { id, offset, is_last }) = fragment {
            let offset = u16::try_from(offset).unwrap_or(u16::MAX) & !7;
            to.extend([self.protocol, 0]);
            to.extend((offset | u16::from(!is_last)).to_be_bytes());
            to.extend(id.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(is_v6: bool) -> Header {
        let [source, destination]: [IpAddr; 2] = if is_v6 {
            ["fd00::1".parse().unwrap(), "2001:db8::2".parse().unwrap()]
        } else {
            ["10.0.2.15".parse().unwrap(), "192.0.2.2".parse().unwrap()]
        };
        Header { source_mac: [2; 6], destination_mac: [4; 6], source, destination, protocol: UDP }
    }

    fn read(frame: &[u8]) -> Option<Packet<'_>> {
        let frame = ethernet::read(frame)?;
        match frame.ether_type {
            EtherType::Arp => None,
            EtherType::Ipv4 => read_v4(frame.payload),
            EtherType::Ipv6 => read_v6(frame.payload),
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(is_v6: bool, payload in proptest::collection::vec(any::<u8>(), 0..64), padding in 0_usize..9,
            fragment in proptest::option::of((any::<u16>(), 0_usize..8000, any::<bool>()))) {
            let fragment = fragment.map(|(id, offset, is_last)| Fragment { id: id.into(), offset: offset * 8, is_last })
                .filter(|fragment| fragment.offset > 0 || !fragment.is_last);
            let header = header(is_v6);
            let mut frame = Vec::new();
            match fragment {
                None => header.write(payload.len(), &mut frame),
                Some(fragment) => header.write_fragment(payload.len(), fragment, &mut frame),
            }
            frame.extend(&payload);
            frame.resize(frame.len() + padding, 7);
            let packet = read(&frame).unwrap();
            prop_assert_eq!(packet.source, header.source);
            prop_assert_eq!(packet.destination, header.destination);
            prop_assert_eq!((packet.protocol, packet.fragment, packet.payload), (UDP, fragment, &payload[..]));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = read(&bytes);
            let _ = read_v4(&bytes);
            let _ = read_v6(&bytes);
        }
    }

    #[test]
    fn options_cut_packets_and_wrong_checksums_are_refused() {
        let mut frame = Vec::new();
        header(false).write(4, &mut frame);
        frame.extend([0; 4]);
        let good = frame.split_off(14);
        assert!(read_v4(&good).is_some());
        assert!(read_v4(&good[..23]).is_none(), "cut");
        for (at, byte) in [(0, 0x46), (0, 0x65), (2, 1), (6, 0xc0), (8, 3), (10, 1)] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert!(read_v4(&bad).is_none(), "{at}");
        }
    }
}
