//! UDP datagrams.
//! Source: RFC 768.

use std::net::IpAddr;

use super::bytes::Bytes;
use super::checksum::Sum;
use super::ip;

pub(crate) const HEADER_BYTES: usize = 8;

/// A datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Datagram<'packet> {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) payload: &'packet [u8],
}

/// Reads a datagram between two addresses. `None`: its length or its checksum is wrong.
pub(crate) fn read(source: IpAddr, destination: IpAddr, packet: &[u8]) -> Option<Datagram<'_>> {
    let mut bytes = Bytes(packet);
    let source_port = bytes.u16()?;
    let destination_port = bytes.u16()?;
    let length = usize::from(bytes.u16()?);
    let checksum: [u8; 2] = bytes.array()?;
    // IPv4 allows a datagram without a checksum.
    let has_none = checksum == [0, 0] && source.is_ipv4();
    let sum = || Sum::of_pseudo_header(source, destination, ip::UDP, packet.len()).and(packet);
    let is_whole = length == packet.len() && (has_none || sum().is_right());
    is_whole.then_some(Datagram { source_port, destination_port, payload: bytes.0 })
}

/// Returns a whole datagram, header and payload, for between two addresses.
pub(crate) fn write(source: IpAddr, destination: IpAddr, datagram: Datagram<'_>) -> Vec<u8> {
    let length = HEADER_BYTES + datagram.payload.len();
    let mut packet = Vec::with_capacity(length);
    packet.extend(datagram.source_port.to_be_bytes());
    packet.extend(datagram.destination_port.to_be_bytes());
    packet.extend(u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(datagram.payload);
    let checksum = Sum::of_pseudo_header(source, destination, ip::UDP, length).and(&packet).checksum();
    // Zero means that there is none; its complement is the same number.
    let checksum = if checksum == [0, 0] { [0xff, 0xff] } else { checksum };
    if let Some(field) = packet.get_mut(6..8) {
        field.copy_from_slice(&checksum);
    }
    packet
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(is_v6: bool, payload in proptest::collection::vec(any::<u8>(), 0..50), at in 0_usize..58) {
            let [source, destination]: [IpAddr; 2] =
                if is_v6 { ["fd00::1", "2001:db8::2"] } else { ["10.0.2.15", "192.0.2.2"] }.map(|text| text.parse().unwrap());
            let datagram = Datagram { source_port: 4000, destination_port: 53, payload: &payload };
            let packet = write(source, destination, datagram);
            prop_assert_eq!(read(source, destination, &packet), Some(datagram));
            let mut bad = packet;
            if let Some(byte) = bad.get_mut(at) {
                *byte ^= 1;
                prop_assert_eq!(read(source, destination, &bad), None);
            }
        }
    }

    #[test]
    fn a_datagram_of_ipv4_may_have_no_checksum() {
        let packet = [0, 1, 0, 2, 0, 9, 0, 0, 7];
        let v4 = IpAddr::from([10, 0, 2, 15]);
        assert!(read(v4, v4, &packet).is_some());
        let v6: IpAddr = "fd00::1".parse().unwrap();
        assert!(read(v6, v6, &packet).is_none());
        assert!(read(v4, v4, &[0, 1, 0, 2, 0, 8, 0, 0, 7]).is_none(), "a wrong length");
    }
}
