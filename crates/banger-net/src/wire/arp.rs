//! Address resolution of IPv4.
//! Source: RFC 826.

use std::net::Ipv4Addr;

use super::bytes::Bytes;
use super::ethernet::Mac;

/// Ethernet with IPv4: hardware type, protocol, lengths of the addresses.
const OF_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];
const REQUEST: u16 = 1;
const REPLY: u16 = 2;

/// A question for the hardware address of `target`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) sender_mac: Mac,
    pub(crate) sender: Ipv4Addr,
    pub(crate) target: Ipv4Addr,
}

/// Reads a request. `None`: it is something else.
pub(crate) fn read(packet: &[u8]) -> Option<Request> {
    let mut bytes = Bytes(packet);
    let is_request = bytes.array()? == OF_IPV4 && bytes.u16()? == REQUEST;
    let sender_mac = bytes.array()?;
    let sender = Ipv4Addr::from(bytes.array::<4>()?);
    let _target_mac: Mac = bytes.array()?;
    let target = Ipv4Addr::from(bytes.array::<4>()?);
    is_request.then_some(Request { sender_mac, sender, target })
}

/// Returns the answer that `mac` has the address that was asked for.
pub(crate) fn reply(request: Request, mac: Mac) -> Vec<u8> {
    let mut packet = OF_IPV4.to_vec();
    packet.extend(REPLY.to_be_bytes());
    packet.extend(mac);
    packet.extend(request.target.octets());
    packet.extend(request.sender_mac);
    packet.extend(request.sender.octets());
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_and_its_reply_is_not_one() {
        let request = Request {
            sender_mac: [2; 6],
            sender: Ipv4Addr::new(10, 0, 2, 15),
            target: Ipv4Addr::new(10, 0, 2, 2),
        };
        let mut packet = [&OF_IPV4[..], &[0, 1]].concat();
        packet.extend([2; 6]);
        packet.extend(request.sender.octets());
        packet.extend([0; 6]);
        packet.extend(request.target.octets());
        assert_eq!(read(&packet), Some(request));
        assert_eq!(read(&packet[..27]), None);
        let reply = reply(request, [4; 6]);
        assert_eq!((reply.len(), read(&reply)), (28, None));
        assert_eq!(&reply[8..18], &[4, 4, 4, 4, 4, 4, 10, 0, 2, 2]);
    }
}
