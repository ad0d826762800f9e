//! ICMP of both versions: echoes, and errors that tell the guest why a packet went nowhere.
//! Source: RFC 792, RFC 4443, RFC 1812.

use std::net::IpAddr;

use super::bytes::Bytes;
use super::checksum::Sum;
use super::ip::{self, Header};

/// Bytes of the transport's header that an error quotes.
pub(crate) const QUOTED_BYTES: usize = 8;

/// A question whether somebody is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Echo<'packet> {
    pub(crate) id: u16,
    pub(crate) sequence: u16,
    pub(crate) payload: &'packet [u8],
}

/// Why a packet went nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreachable {
    Host,
    Port,
    Prohibited,
}

impl Unreachable {
    /// Type and code.
    const fn code(self, is_v4: bool) -> [u8; 2] {
        match (self, is_v4) {
            (Self::Host, true) => [3, 1],
            (Self::Port, true) => [3, 3],
            (Self::Prohibited, true) => [3, 13],
            (Self::Host, false) => [1, 3],
            (Self::Port, false) => [1, 4],
            (Self::Prohibited, false) => [1, 1],
        }
    }
}

/// Type of an echo request and of its reply.
pub(crate) const fn echo_types(is_v4: bool) -> [u8; 2] {
    if is_v4 { [8, 0] } else { [128, 129] }
}

/// Tells whether a message between two addresses has the right checksum.
pub(crate) fn is_right(source: IpAddr, destination: IpAddr, message: &[u8]) -> bool {
    sum(source, destination, message.len()).and(message).is_right()
}

/// Only `ICMPv6` has a pseudo header.
fn sum(source: IpAddr, destination: IpAddr, length: usize) -> Sum {
    if source.is_ipv4() {
        Sum::default()
    } else {
        Sum::of_pseudo_header(source, destination, ip::ICMPV6, length)
    }
}

/// Reads an echo request between two addresses.
pub(crate) fn read_echo_request(source: IpAddr, destination: IpAddr, message: &[u8]) -> Option<Echo<'_>> {
    let [request, _reply] = echo_types(source.is_ipv4());
    is_right(source, destination, message).then_some(())?;
    read_echo(request, message)
}

/// Reads an echo message of this type, whatever its checksum.
pub(crate) fn read_echo(message_type: u8, message: &[u8]) -> Option<Echo<'_>> {
    let mut bytes = Bytes(message);
    let is_it = bytes.array()? == [message_type, 0];
    let _checksum = bytes.u16()?;
    let (id, sequence) = (bytes.u16()?, bytes.u16()?);
    is_it.then_some(Echo { id, sequence, payload: bytes.0 })
}

/// Returns an echo message between two addresses.
pub(crate) fn write_echo(message_type: u8, source: IpAddr, destination: IpAddr, echo: Echo<'_>) -> Vec<u8> {
    let mut message = vec![message_type, 0, 0, 0];
    message.extend(echo.id.to_be_bytes());
    message.extend(echo.sequence.to_be_bytes());
    message.extend(echo.payload);
    finish(source, destination, &mut message);
    message
}

/// A packet that went nowhere, as far as an error quotes it.
pub(crate) struct Quoted {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) begin: [u8; QUOTED_BYTES],
}

/// Returns an error message to the sender of the quoted packet.
pub(crate) fn write_unreachable(from: IpAddr, why: Unreachable, quoted: &Quoted) -> Vec<u8> {
    let mut message = why.code(from.is_ipv4()).to_vec();
    message.extend([0; 6]);
    let header = Header {
        source_mac: [0; 6],
        destination_mac: [0; 6],
        source: quoted.source,
        destination: quoted.destination,
        protocol: quoted.protocol,
    };
    let mut frame = Vec::new();
    header.write(QUOTED_BYTES, &mut frame);
    message.extend(frame.get(super::ethernet::HEADER_BYTES..).unwrap_or_default());
    message.extend(quoted.begin);
    finish(from, quoted.source, &mut message);
    message
}

/// Sets the checksum of a message between two addresses.
pub(super) fn finish(source: IpAddr, destination: IpAddr, message: &mut [u8]) {
    let checksum = sum(source, destination, message.len()).and(message).checksum();
    if let Some(field) = message.get_mut(2..4) {
        field.copy_from_slice(&checksum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(is_v4: bool) -> [IpAddr; 2] {
        if is_v4 { ["10.0.2.15", "192.0.2.2"] } else { ["fd00::1", "2001:db8::2"] }
            .map(|text| text.parse().unwrap())
    }

    #[test]
    fn echoes_are_read_as_they_were_written() {
        for is_v4 in [true, false] {
            let [source, destination] = addresses(is_v4);
            let [request, reply] = echo_types(is_v4);
            let echo = Echo { id: 1, sequence: 2, payload: b"abc" };
            let message = write_echo(request, source, destination, echo);
            assert_eq!(read_echo_request(source, destination, &message), Some(echo));
            assert_eq!(read_echo(reply, &message), None);
            let mut bad = message;
            bad[9] ^= 1;
            assert_eq!(read_echo_request(source, destination, &bad), None);
        }
    }

    #[test]
    fn an_error_quotes_the_packet() {
        for is_v4 in [true, false] {
            let [source, destination] = addresses(is_v4);
            let quoted = Quoted { source, destination, protocol: ip::UDP, begin: [1, 2, 3, 4, 5, 6, 7, 8] };
            let message = write_unreachable(destination, Unreachable::Port, &quoted);
            assert!(is_right(destination, source, &message));
            assert!(message.ends_with(&quoted.begin));
            assert_eq!(message.len(), 8 + 8 + if is_v4 { 20 } else { 40 });
        }
    }
}
