//! Neighbour discovery of IPv6, as far as a network with one guest and one router has it.
//! Source: RFC 4861, RFC 4862, RFC 8106.

use std::net::{IpAddr, Ipv6Addr};

use super::bytes::Bytes;
use super::ethernet::Mac;
use super::icmp;

const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;

const OPTION_TARGET_MAC: u8 = 2;
const OPTION_SOURCE_MAC: u8 = 1;
const OPTION_PREFIX: u8 = 3;
const OPTION_MTU: u8 = 5;
const OPTION_NAME_SERVERS: u8 = 25;

/// Router, solicited, override.
const ROUTER_SOLICITED_OVERRIDE: u8 = 0xe0;
/// On link, and good for addresses that a guest makes itself.
const ON_LINK_AUTONOMOUS: u8 = 0xc0;
/// How long what is advertised holds, in seconds: a guest that hears nothing new keeps its address for the life of a VM.
const LIFETIME_SECS: u32 = u32::MAX;
/// The longest time that a router may announce.
const ROUTER_LIFETIME_SECS: u16 = 9000;

/// A question of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    Router,
    Neighbour { target: Ipv6Addr },
}

/// What a router advertises.
pub(crate) struct Advertisement {
    pub(crate) mac: Mac,
    /// Its first 64 bits are the network's.
    pub(crate) prefix: Ipv6Addr,
    pub(crate) mtu: u32,
    pub(crate) name_server: Ipv6Addr,
}

/// Reads a question between two addresses.
pub(crate) fn read(source: IpAddr, destination: IpAddr, message: &[u8]) -> Option<Question> {
    icmp::is_right(source, destination, message).then_some(())?;
    let mut bytes = Bytes(message);
    let kind = bytes.array::<2>()?;
    let (_checksum, _reserved) = (bytes.u16()?, bytes.u32()?);
    match kind {
        [ROUTER_SOLICITATION, 0] => Some(Question::Router),
        [NEIGHBOUR_SOLICITATION, 0] => Some(Question::Neighbour { target: bytes.array::<16>()?.into() }),
        _ => None,
    }
}

/// Returns the answer that `mac` has the target's address.
pub(crate) fn write_neighbour(target: Ipv6Addr, to: Ipv6Addr, mac: Mac) -> Vec<u8> {
    let mut message = vec![NEIGHBOUR_ADVERTISEMENT, 0, 0, 0, ROUTER_SOLICITED_OVERRIDE, 0, 0, 0];
    message.extend(target.octets());
    message.extend([OPTION_TARGET_MAC, 1]);
    message.extend(mac);
    icmp::finish(target.into(), to.into(), &mut message);
    message
}

/// Returns an advertisement for between two addresses.
pub(crate) fn write_router(advertisement: &Advertisement, from: Ipv6Addr, to: Ipv6Addr) -> Vec<u8> {
    let mut message = vec![ROUTER_ADVERTISEMENT, 0, 0, 0, icmp_hop_limit(), 0];
    message.extend(ROUTER_LIFETIME_SECS.to_be_bytes());
    message.extend([0; 8]);
    message.extend([OPTION_SOURCE_MAC, 1]);
    message.extend(advertisement.mac);
    message.extend([OPTION_MTU, 1, 0, 0]);
    message.extend(advertisement.mtu.to_be_bytes());
    message.extend([OPTION_PREFIX, 4, 64, ON_LINK_AUTONOMOUS]);
    message.extend(LIFETIME_SECS.to_be_bytes());
    message.extend(LIFETIME_SECS.to_be_bytes());
    message.extend([0; 4]);
    message.extend(advertisement.prefix.octets());
    message.extend([OPTION_NAME_SERVERS, 3, 0, 0]);
    message.extend(LIFETIME_SECS.to_be_bytes());
    message.extend(advertisement.name_server.octets());
    icmp::finish(from.into(), to.into(), &mut message);
    message
}

/// Hop limit that the guest shall use.
const fn icmp_hop_limit() -> u8 {
    64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_read_and_answers_are_not() {
        let [guest, router]: [Ipv6Addr; 2] = ["fe80::15", "fe80::2"].map(|text| text.parse().unwrap());
        let ask = |mut message: Vec<u8>| {
            icmp::finish(guest.into(), router.into(), &mut message);
            read(guest.into(), router.into(), &message)
        };
        assert_eq!(ask(vec![133, 0, 0, 0, 0, 0, 0, 0]), Some(Question::Router));
        let target = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &router.octets()].concat();
        assert_eq!(ask(target), Some(Question::Neighbour { target: router }));
        assert_eq!(ask(vec![135, 0, 0, 0, 0, 0, 0, 0, 1]), None);
        let answer = write_neighbour(router, guest, [2; 6]);
        assert!(icmp::is_right(router.into(), guest.into(), &answer));
        assert_eq!(read(router.into(), guest.into(), &answer), None);
        let advertisement =
            Advertisement { mac: [2; 6], prefix: "fd00::".parse().unwrap(), mtu: 1500, name_server: router };
        let message = write_router(&advertisement, router, guest);
        assert!(icmp::is_right(router.into(), guest.into(), &message));
        assert_eq!(message.len() % 8, 0);
    }
}
