//! TCP segments.
//! Source: RFC 9293, RFC 7323.

use std::net::IpAddr;

use super::bytes::Bytes;
use super::checksum::Sum;
use super::ip;

pub(crate) const HEADER_BYTES: usize = 20;

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const PSH: u8 = 8;
pub(crate) const ACK: u8 = 16;

const OPTION_END: u8 = 0;
const OPTION_NOTHING: u8 = 1;
const OPTION_SEGMENT_SIZE: u8 = 2;
const OPTION_SCALE: u8 = 3;

/// The largest shift of a window.
const SCALE_MAX: u8 = 14;

/// A segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment<'packet> {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) sequence: u32,
    pub(crate) acknowledgement: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    /// Of a SYN.
    pub(crate) options: Options,
    pub(crate) payload: &'packet [u8],
}

/// What the sender of a SYN announces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) segment_bytes_max: Option<u16>,
    pub(crate) scale: Option<u8>,
}

impl Segment<'_> {
    pub(crate) const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Reads a segment between two addresses. `None`: it is cut, or its checksum is wrong.
pub(crate) fn read(source: IpAddr, destination: IpAddr, packet: &[u8]) -> Option<Segment<'_>> {
    if !Sum::of_pseudo_header(source, destination, ip::TCP, packet.len()).and(packet).is_right() {
        return None;
    }
    let mut bytes = Bytes(packet);
    let source_port = bytes.u16()?;
    let destination_port = bytes.u16()?;
    let sequence = bytes.u32()?;
    let acknowledgement = bytes.u32()?;
    let header_bytes = usize::from(bytes.u8()? >> 4) * 4;
    let flags = bytes.u8()?;
    let window = bytes.u16()?;
    let _checksum = bytes.u16()?;
    let _urgent = bytes.u16()?;
    let options = bytes.take(header_bytes.checked_sub(HEADER_BYTES)?)?;
    let options = if flags & SYN == 0 { Options::default() } else { read_options(options) };
    let payload = bytes.0;
    Some(Segment {
        source_port,
        destination_port,
        sequence,
        acknowledgement,
        flags,
        window,
        options,
        payload,
    })
}

/// Reads the options up to one that is malformed.
fn read_options(bytes: &[u8]) -> Options {
    let mut options = Options::default();
    let mut bytes = Bytes(bytes);
    while let Some(kind) = bytes.u8() {
        match kind {
            OPTION_END => break,
            OPTION_NOTHING => continue,
            _ => {}
        }
        let Some(length) = bytes.u8() else { break };
        let Some(value) = usize::from(length).checked_sub(2).and_then(|length| bytes.take(length)) else {
            break;
        };
        match (kind, value) {
            (OPTION_SEGMENT_SIZE, [high, low]) => {
                options.segment_bytes_max = Some(u16::from_be_bytes([*high, *low]));
            }
            (OPTION_SCALE, [scale]) => options.scale = Some((*scale).min(SCALE_MAX)),
            _ => {}
        }
    }
    options
}

/// Appends a segment with this payload behind its IP header. The payload is in two pieces, as a ring has it; it is
/// summed up and not copied.
pub(crate) fn write(header: &ip::Header, segment: &Segment<'_>, payload: [&[u8]; 2], to: &mut Vec<u8>) {
    let mut options = Vec::new();
    if let Some(bytes) = segment.options.segment_bytes_max {
        let [high, low] = bytes.to_be_bytes();
        options.extend([OPTION_SEGMENT_SIZE, 4, high, low]);
    }
    if let Some(scale) = segment.options.scale {
        options.extend([OPTION_NOTHING, OPTION_SCALE, 3, scale]);
    }
    let header_bytes = HEADER_BYTES + options.len();
    let [first, second] = payload;
    let length = header_bytes + first.len() + second.len();
    header.write(length, to);
    let at = to.len();
    to.extend(segment.source_port.to_be_bytes());
    to.extend(segment.destination_port.to_be_bytes());
    to.extend(segment.sequence.to_be_bytes());
    to.extend(segment.acknowledgement.to_be_bytes());
    to.extend([u8::try_from(header_bytes * 4).unwrap_or(0xf0), segment.flags]);
    to.extend(segment.window.to_be_bytes());
    to.extend([0; 4]);
    to.extend(options);
    let sum = Sum::of_pseudo_header(header.source, header.destination, ip::TCP, length);
    let checksum = sum.and(to.get(at..).unwrap_or_default()).and(first).and(second).checksum();
    if let Some(field) = to.get_mut(at + 16..at + 18) {
        field.copy_from_slice(&checksum);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header() -> ip::Header {
        let [source, destination] = ["10.0.2.15", "192.0.2.2"].map(|text| text.parse().unwrap());
        ip::Header { source_mac: [2; 6], destination_mac: [4; 6], source, destination, protocol: ip::TCP }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(sequence: u32, acknowledgement: u32, window: u16, flags in 0_u8..64,
            segment_bytes_max in proptest::option::of(any::<u16>()), scale in proptest::option::of(0_u8..=14),
            payload in proptest::collection::vec(any::<u8>(), 0..50), cut in 0_usize..50) {
            let options = if flags & SYN == 0 { Options::default() } else { Options { segment_bytes_max, scale } };
            let segment = Segment { source_port: 1, destination_port: 2, sequence, acknowledgement, flags, window, options,
                payload: &payload };
            let (one, other) = payload.split_at(cut.min(payload.len()));
            let mut frame = Vec::new();
            write(&header(), &segment, [one, other], &mut frame);
            frame.extend(&payload);
            let packet = ip::read_v4(&frame[14..]).unwrap();
            prop_assert_eq!(read(packet.source, packet.destination, packet.payload), Some(segment));
        }

        #[test]
        fn no_options_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..44)) {
            let _ = read_options(&bytes);
        }
    }

    #[test]
    fn a_changed_segment_is_refused() {
        let options = Options::default();
        let segment = Segment {
            source_port: 1,
            destination_port: 2,
            sequence: 3,
            acknowledgement: 4,
            flags: ACK,
            window: 5,
            options,
            payload: b"",
        };
        let mut frame = Vec::new();
        write(&header(), &segment, [b"", b""], &mut frame);
        let packet = ip::read_v4(&frame[14..]).unwrap();
        for at in 0..20 {
            let mut bad = packet.payload.to_vec();
            bad[at] ^= 1;
            assert_eq!(read(packet.source, packet.destination, &bad), None);
        }
    }

    #[test]
    fn the_options_of_linux_are_read() {
        let of_linux = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];
        assert_eq!(read_options(&of_linux), Options { segment_bytes_max: Some(1460), scale: Some(7) });
        for odd in [&[2][..], &[2, 0], &[2, 1], &[3, 9, 1], &[1, 1, 2, 4, 1]] {
            assert_eq!(read_options(odd), Options::default(), "{odd:?}");
        }
    }
}
