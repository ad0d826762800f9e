//! Reads a frame as passt does, and takes no other: whatever has two readings is refused, so that what is judged here is
//! what passt acts on.
//!
//! Left out on purpose: IP options and fragments (passt reads the middle of a datagram as if it were its header), frames
//! whose inner lengths disagree with the outer ones, and every protocol but ARP, TCP, UDP and echo. Bytes behind the
//! packet are padding and are cut off.
//! Source: RFC 791, 768, 792, 826, 9293.

use std::net::Ipv4Addr;
use std::ops::Range;

pub(super) const ETHERNET_BYTES: usize = 14;
const ARP_BYTES: usize = 28;
pub(super) const IPV4_BYTES: usize = 20;
const UDP_BYTES: usize = 8;
pub(super) const TCP_BYTES: usize = 20;
const ECHO_BYTES: usize = 8;

/// Ethernet with IPv4: hardware type, protocol, lengths of the addresses.
const ARP_OF_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];

/// All flags and the offset of a fragment, but for "do not fragment".
const FRAGMENT_BITS: u16 = 0xbfff;

/// Where the ports and the checksum of UDP stand, from the begin of a frame.
const PORTS: usize = ETHERNET_BYTES + IPV4_BYTES;
const UDP_CHECKSUM: Range<usize> = PORTS + 6..PORTS + 8;

const TCP_FIN: u8 = 1;
pub(super) const TCP_SYN: u8 = 2;
pub(super) const TCP_RST: u8 = 4;
pub(super) const TCP_ACK: u8 = 16;

/// Least size of segments that a SYN may ask for: what Linux takes for the least (`TCP_MIN_MSS`). passt 2023-03-09 divides by it.
const SEGMENT_BYTES_MIN: u16 = 88;

/// A well-formed frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Bytes of it that mean something.
    pub(super) length: usize,
    pub(super) content: Content,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// A question for the hardware address of `target`, or the answer from it.
    Arp {
        is_request: bool,
        sender: Ipv4Addr,
        target: Ipv4Addr,
    },
    Packet(Packet),
}

/// An IPv4 packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) source: Ipv4Addr,
    pub(super) destination: Ipv4Addr,
    pub(super) transport: Transport,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Tcp { source: u16, destination: u16, acknowledgement: Option<Acknowledgement> },
    Udp { source: u16, destination: u16 },
    Echo { is_request: bool, id: u16 },
}

/// What a segment says that has neither data nor a flag of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Acknowledgement {
    pub(super) sequence: u32,
    pub(super) number: u32,
    pub(super) window: u16,
}

/// Reads a frame. `None`: nobody needs it.
pub(super) fn read(bytes: &[u8]) -> Option<Frame> {
    let (header, rest) = bytes.split_at_checked(ETHERNET_BYTES)?;
    let (content, length) = match header {
        [.., 0x08, 0x06] => (read_arp(rest.get(..ARP_BYTES)?)?, ARP_BYTES),
        [.., 0x08, 0x00] => {
            let length = usize::from(number(rest, 2)?);
            (Content::Packet(read_packet(rest.get(..length)?)?), length)
        }
        _ => return None,
    };
    Some(Frame { length: ETHERNET_BYTES + length, content })
}

fn read_arp(bytes: &[u8]) -> Option<Content> {
    let is_request = match number(bytes, 6)? {
        1 => true,
        2 => false,
        _ => return None,
    };
    let arp = Content::Arp { is_request, sender: address(bytes, 14)?, target: address(bytes, 24)? };
    bytes.starts_with(&ARP_OF_IPV4).then_some(arp)
}

fn read_packet(bytes: &[u8]) -> Option<Packet> {
    let (header, payload) = bytes.split_at_checked(IPV4_BYTES)?;
    let is_plain = header.first() == Some(&0x45) && number(header, 6)? & FRAGMENT_BITS == 0;
    let transport = match header.get(9)? {
        1 => read_echo(payload),
        6 => read_tcp(payload),
        17 => read_udp(payload),
        _ => None,
    };
    let packet =
        Packet { source: address(header, 12)?, destination: address(header, 16)?, transport: transport? };
    is_plain.then_some(packet)
}

fn read_tcp(bytes: &[u8]) -> Option<Transport> {
    let header_bytes = usize::from(bytes.get(12)? >> 4) * 4;
    let flags = *bytes.get(13)?;
    // What no connection has; each is a way to make a peer guess.
    let is_sound = match flags & (TCP_SYN | TCP_FIN | TCP_RST) {
        0 | TCP_FIN => flags & TCP_ACK != 0,
        TCP_SYN | TCP_RST => true,
        _ => false,
    };
    let (source, destination) = ports(bytes)?;
    let is_whole = header_bytes >= TCP_BYTES && header_bytes <= bytes.len();
    let is_bare = flags == TCP_ACK && header_bytes == bytes.len();
    let acknowledgement = if is_bare { read_acknowledgement(bytes) } else { None };
    let has_sound_options =
        flags & TCP_SYN == 0 || bytes.get(TCP_BYTES..header_bytes).is_some_and(are_sound_options);
    (is_whole && is_sound && has_sound_options).then_some(Transport::Tcp {
        source,
        destination,
        acknowledgement,
    })
}

/// Looks at a SYN's options: each is whole, and its segments hold something.
fn are_sound_options(mut options: &[u8]) -> bool {
    const END: u8 = 0;
    const NOTHING: u8 = 1;
    const SEGMENT_BYTES: u8 = 2;
    loop {
        options = match options {
            [] | [END, ..] => return true,
            [NOTHING, rest @ ..] => rest,
            [SEGMENT_BYTES, 4, high, low, rest @ ..] => {
                if u16::from_be_bytes([*high, *low]) < SEGMENT_BYTES_MIN {
                    return false;
                }
                rest
            }
            [SEGMENT_BYTES, ..] => return false,
            [_, length @ 2..=u8::MAX, ..] => match options.get(usize::from(*length)..) {
                Some(rest) => rest,
                None => return false,
            },
            [_, ..] => return false,
        };
    }
}

fn read_acknowledgement(bytes: &[u8]) -> Option<Acknowledgement> {
    let word = |at: usize| bytes.get(at..)?.first_chunk().map(|word| u32::from_be_bytes(*word));
    Some(Acknowledgement { sequence: word(4)?, number: word(8)?, window: number(bytes, 14)? })
}

fn read_udp(bytes: &[u8]) -> Option<Transport> {
    let (source, destination) = ports(bytes)?;
    let length = usize::from(number(bytes, 4)?);
    (length >= UDP_BYTES && length == bytes.len()).then_some(Transport::Udp { source, destination })
}

fn read_echo(bytes: &[u8]) -> Option<Transport> {
    let is_request = match bytes.get(..2)? {
        [8, 0] => true,
        [0, 0] => false,
        _ => return None,
    };
    let id = number(bytes, 4)?;
    (bytes.len() >= ECHO_BYTES).then_some(Transport::Echo { is_request, id })
}

/// Port 0 is nobody's.
fn ports(bytes: &[u8]) -> Option<(u16, u16)> {
    let ports = (number(bytes, 0)?, number(bytes, 2)?);
    (ports.0 != 0 && ports.1 != 0).then_some(ports)
}

pub(super) fn number(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn address(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    bytes.get(at..)?.first_chunk::<4>().map(|bytes| (*bytes).into())
}

/// Which of a packet's ports.
#[derive(Clone, Copy, Debug)]
pub(super) enum Port {
    Source,
    Destination,
}

/// Writes another port into a UDP frame that [`read`] took. It then goes without a checksum, which nobody misses: its next
/// reader is a socket on this host.
pub(super) fn set_udp_port(frame: &mut [u8], which: Port, port: u16) {
    let at = match which {
        Port::Source => PORTS,
        Port::Destination => PORTS + 2,
    };
    if let Some(place) = frame.get_mut(at..at + 2) {
        place.copy_from_slice(&port.to_be_bytes());
    }
    if let Some(checksum) = frame.get_mut(UDP_CHECKSUM) {
        checksum.fill(0);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(in super::super) const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);

    /// A frame with this `EtherType`.
    fn ethernet(ethertype: [u8; 2], content: &[u8]) -> Vec<u8> {
        [&[0x52, 0x55, 10, 0, 2, 2, 0x52, 0x54, 0, 1, 2, 3], &ethertype[..], content].concat()
    }

    pub(in super::super) fn packet(source: Ipv4Addr, to: [u8; 4], protocol: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(IPV4_BYTES + payload.len()).unwrap().to_be_bytes();
        let head = [0x45, 0, length[0], length[1], 0, 1, 0x40, 0, 64, protocol, 0, 0];
        ethernet([8, 0], &[&head, &source.octets()[..], &to, payload].concat())
    }

    pub(in super::super) fn udp(source: Ipv4Addr, from: u16, to: ([u8; 4], u16), data: &[u8]) -> Vec<u8> {
        let length = u16::try_from(UDP_BYTES + data.len()).unwrap();
        let head = [from, to.1, length, 0xabcd].map(u16::to_be_bytes).concat();
        packet(source, to.0, 17, &[&head, data].concat())
    }

    pub(in super::super) fn tcp(source: Ipv4Addr, from: u16, to: ([u8; 4], u16), flags: u8) -> Vec<u8> {
        let mut head = [from.to_be_bytes(), to.1.to_be_bytes()].concat();
        head.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        packet(source, to.0, 6, &head)
    }

    pub(in super::super) fn echo(source: Ipv4Addr, to: [u8; 4], kind: u8, id: u16) -> Vec<u8> {
        packet(source, to, 1, &[&[kind, 0, 0, 0], &id.to_be_bytes()[..], &[0, 1, 2, 3, 4]].concat())
    }

    pub(in super::super) fn arp(operation: u8, sender: Ipv4Addr, target: [u8; 4]) -> Vec<u8> {
        let hardware = [0x52, 0x54, 0, 1, 2, 3];
        let head = [&ARP_OF_IPV4[..], &[0, operation]].concat();
        ethernet([8, 6], &[&head, &hardware[..], &sender.octets(), &hardware, &target].concat())
    }

    const WORLD: [u8; 4] = [198, 51, 100, 1];

    #[test]
    fn what_a_network_needs_is_read() {
        let content = |frame: Vec<u8>| read(&frame).map(|read| (read.content, read.length == frame.len()));
        let of = |transport| {
            Some((Content::Packet(Packet { source: GUEST, destination: WORLD.into(), transport }), true))
        };
        assert_eq!(
            content(udp(GUEST, 4000, (WORLD, 53), b"question")),
            of(Transport::Udp { source: 4000, destination: 53 })
        );
        assert_eq!(
            content(tcp(GUEST, 4000, (WORLD, 80), TCP_SYN)),
            of(Transport::Tcp { source: 4000, destination: 80, acknowledgement: None })
        );
        assert_eq!(content(echo(GUEST, WORLD, 8, 7)), of(Transport::Echo { is_request: true, id: 7 }));
        assert_eq!(
            content(arp(1, GUEST, WORLD)),
            Some((Content::Arp { is_request: true, sender: GUEST, target: WORLD.into() }, true))
        );
    }

    #[test]
    fn a_bare_acknowledgement_is_told_from_what_says_more() {
        let bare = tcp(GUEST, 4000, (WORLD, 80), TCP_ACK);
        let of = |frame: &[u8]| match read(frame).unwrap().content {
            Content::Packet(Packet { transport: Transport::Tcp { acknowledgement, .. }, .. }) => {
                acknowledgement
            }
            other => panic!("{other:?}"),
        };
        let said = Acknowledgement { sequence: 1, number: 0, window: 0xffff };
        assert_eq!(of(&bare), Some(said));
        assert_eq!(of(&[&bare[..], &[0; 6]].concat()), Some(said), "padding is no data");
        assert_eq!(of(&tcp(GUEST, 4000, (WORLD, 80), TCP_ACK | TCP_FIN)), None);
        assert_eq!(of(&packet(GUEST, WORLD, 6, &[&bare[PORTS..], b"data"].concat())), None);
    }

    #[test]
    fn padding_is_no_part_of_a_frame() {
        for frame in
            [udp(GUEST, 1, (WORLD, 2), b""), arp(1, GUEST, WORLD), tcp(GUEST, 1, (WORLD, 2), TCP_SYN)]
        {
            let padded = [frame.as_slice(), &[0xaa; 30]].concat();
            assert_eq!(read(&padded).unwrap().length, frame.len());
        }
    }

    #[test]
    fn whatever_has_two_readings_is_refused() {
        let good = udp(GUEST, 4000, (WORLD, 53), b"question");
        let change = |at: usize, byte: u8| {
            let mut frame = good.clone();
            frame[at] = byte;
            frame
        };
        let (ip, transport) = (ETHERNET_BYTES, PORTS);
        for (frame, what) in [
            (change(ip, 0x65), "another version"),
            (change(ip, 0x46), "options"),
            (change(ip, 0x44), "a header that is too short"),
            (change(ip + 2, 0xff), "more than the frame holds"),
            (change(ip + 3, 19), "less than a header"),
            (change(ip + 6, 0x20), "the first fragment"),
            (change(ip + 7, 0x01), "a later fragment"),
            (change(ip + 6, 0x80), "the reserved flag"),
            (change(ip + 9, 2), "IGMP"),
            (change(ip + 9, 132), "SCTP"),
            (change(ip + 9, 4), "a packet in a packet"),
            (change(transport + 5, 7), "a datagram that is shorter than its header"),
            (change(transport + 5, 15), "a datagram that is shorter than its packet"),
            (change(transport + 5, 17), "a datagram that is longer than its packet"),
            (change(12, 0x86), "another EtherType"),
            (good[..33].to_vec(), "a cut header"),
            (udp(GUEST, 0, (WORLD, 53), b""), "no source port"),
            (udp(GUEST, 1, (WORLD, 0), b""), "no destination port"),
            (ethernet([0x81, 0], &good), "a VLAN"),
            (arp(3, GUEST, WORLD), "another question than ARP's"),
            (arp(1, GUEST, WORLD)[..41].to_vec(), "a cut question"),
            (echo(GUEST, WORLD, 5, 1), "a redirect"),
            (echo(GUEST, WORLD, 3, 1), "an unreachable host"),
            (packet(GUEST, WORLD, 1, &[8, 0, 0, 0, 0, 1, 0]), "a cut echo"),
        ] {
            assert_eq!(read(&frame), None, "{what}");
        }
    }

    #[test]
    fn a_segment_has_a_whole_header_and_flags_that_go_together() {
        let segment = tcp(GUEST, 4000, (WORLD, 80), TCP_ACK);
        let offset_at = PORTS + 12;
        for offset in [0x00, 0x40, 0x60, 0xf0] {
            let mut frame = segment.clone();
            frame[offset_at] = offset;
            assert_eq!(read(&frame), None, "{offset:x}");
        }
        let takes = |flags: u8| read(&tcp(GUEST, 4000, (WORLD, 80), flags)).is_some();
        for flags in
            [TCP_SYN, TCP_SYN | 0xc0, TCP_ACK, TCP_ACK | 8, TCP_FIN | TCP_ACK, TCP_RST, TCP_RST | TCP_ACK]
        {
            assert!(takes(flags), "{flags}");
        }
        for flags in [0, TCP_FIN, TCP_SYN | TCP_FIN, TCP_SYN | TCP_RST, TCP_FIN | TCP_RST, 0xff, 8] {
            assert!(!takes(flags), "{flags}");
        }
    }

    #[test]
    fn a_connection_begins_with_options_that_mean_something() {
        let takes = |options: &[u8], flags: u8| {
            let mut segment = tcp(GUEST, 4000, (WORLD, 80), flags)[PORTS..].to_vec();
            segment[12] = u8::try_from((TCP_BYTES + options.len()) / 4 * 16).unwrap();
            read(&packet(GUEST, WORLD, 6, &[&segment, options].concat())).is_some()
        };
        // As Linux begins: segment size, selective acknowledgements, time stamps, scale of the window.
        let of_linux = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];
        for good in [&of_linux[..], &[2, 4, 0, 88], &[1, 1, 1, 0], &[0, 9, 9, 9], &[254, 4, 1, 2], &[]] {
            assert!(takes(good, TCP_SYN), "{good:?}");
        }
        for bad in [
            &[2, 4, 0, 0][..],
            &[2, 4, 0, 1],
            &[2, 4, 0, 87],
            &[1, 1, 2, 4],
            &[2, 3, 5, 1],
            &[2, 6, 5, 0xb4, 0, 0, 1, 1],
            &[2, 4, 5, 0xb4, 2, 4, 0, 0],
            &[8, 0, 1, 1],
            &[8, 1, 1, 1],
            &[8, 10, 1, 1],
            &[1, 1, 1, 8],
        ] {
            assert!(!takes(bad, TCP_SYN), "{bad:?}");
            assert!(takes(bad, TCP_ACK), "only a SYN's are looked at: {bad:?}");
        }
    }

    proptest! {
        #[test]
        fn a_frame_that_is_read_says_its_own_length(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let frames = [bytes.clone(), ethernet([8, 0], &bytes), ethernet([8, 6], &bytes)];
            for frame in frames {
                if let Some(read) = read(&frame) {
                    prop_assert!(read.length <= frame.len());
                    if matches!(read.content, Content::Packet(_)) {
                        prop_assert_eq!(usize::from(number(&frame, 16).unwrap()), read.length - ETHERNET_BYTES);
                    }
                }
            }
        }

        #[test]
        fn one_changed_byte_makes_no_panic(at in 0_usize..50, byte: u8) {
            for mut frame in [udp(GUEST, 1, (WORLD, 2), b"data"), tcp(GUEST, 1, (WORLD, 2), TCP_SYN)] {
                if let Some(place) = frame.get_mut(at) {
                    *place = byte;
                }
                let _ = read(&frame);
                set_udp_port(&mut frame, Port::Source, 1);
            }
            set_udp_port(&mut [0; 20], Port::Destination, 1);
        }
    }
}
