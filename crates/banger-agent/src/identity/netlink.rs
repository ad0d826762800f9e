//! Four requests of rtnetlink, written by hand, because a library for it would be many times as large.

use std::{io, net::IpAddr, os::fd::OwnedFd};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};

const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_NEWROUTE: u16 = 24;
const NLMSG_ERROR: u16 = 2;

const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_CREATE: u16 = 0x400;

const IFLA_MTU: u16 = 4;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;

const IFF_UP: u32 = 1;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_BOOT: u8 = 3;
const RTN_UNICAST: u8 = 1;
const RTNH_F_ONLINK: u32 = 4;
const IFA_F_NODAD: u8 = 2;

/// An address with the prefix length of its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InterfaceAddress {
    ip: IpAddr,
    /// At most the length of the address in bits.
    prefix_bits: u8,
}

impl InterfaceAddress {
    pub(super) fn new(ip: IpAddr, prefix_bits: u8) -> Option<Self> {
        (usize::from(prefix_bits) <= octets(ip).len() * 8).then_some(Self { ip, prefix_bits })
    }

    /// Tells whether `other` is in this address's network.
    pub(super) fn contains(self, other: IpAddr) -> bool {
        let (own, other) = (octets(self.ip), octets(other));
        let bits = |bytes: &[u8]| -> Vec<bool> {
            bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)).collect()
        };
        own.len() == other.len()
            && bits(&own).iter().zip(bits(&other)).take(self.prefix_bits.into()).all(|(a, b)| *a == b)
    }
}

/// A socket to the kernel's routing interface.
#[derive(Debug)]
pub(super) struct RouteSocket {
    socket: OwnedFd,
    sequence: u32,
}

impl RouteSocket {
    pub(super) fn open() -> io::Result<Self> {
        let socket =
            rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        rustix::net::bind(&socket, &netlink::SocketAddrNetlink::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    pub(super) fn bring_up(&mut self, index: u32, mtu: Option<u32>) -> io::Result<()> {
        let mut body = vec![0, 0, 0, 0];
        body.extend(index.to_ne_bytes());
        body.extend(IFF_UP.to_ne_bytes());
        body.extend(IFF_UP.to_ne_bytes());
        if let Some(mtu) = mtu {
            attribute(&mut body, IFLA_MTU, &mtu.to_ne_bytes());
        }
        self.request(RTM_NEWLINK, 0, &body)
    }

    pub(super) fn add_address(&mut self, index: u32, address: InterfaceAddress) -> io::Result<()> {
        self.request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &address_body(index, address))
    }

    pub(super) fn remove_address(&mut self, index: u32, address: InterfaceAddress) -> io::Result<()> {
        self.request(RTM_DELADDR, 0, &address_body(index, address))
    }

    /// `is_direct`: the gateway is in the interface's own network.
    pub(super) fn set_default_route(
        &mut self,
        index: u32,
        gateway: IpAddr,
        is_direct: bool,
    ) -> io::Result<()> {
        let mut body = vec![family(gateway), 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, 0, RTN_UNICAST];
        body.extend(if is_direct { 0 } else { RTNH_F_ONLINK }.to_ne_bytes());
        attribute(&mut body, RTA_GATEWAY, &octets(gateway));
        attribute(&mut body, RTA_OIF, &index.to_ne_bytes());
        self.request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &body)
    }

    fn request(&mut self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        self.sequence += 1;
        let message = message(kind, flags, self.sequence, body);
        rustix::net::send(&self.socket, &message, SendFlags::empty())?;
        let mut answer = [0; 4096];
        loop {
            let (count, _) = rustix::net::recv(&self.socket, &mut answer, RecvFlags::empty())?;
            if let Some(outcome) = acknowledgement(answer.get(..count).unwrap_or_default(), self.sequence) {
                return outcome;
            }
        }
    }
}

fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    const HEADER_BYTES: usize = 16;
    let length = u32::try_from(HEADER_BYTES + body.len()).unwrap_or(u32::MAX);
    let mut message = Vec::new();
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend((flags | NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend(0_u32.to_ne_bytes());
    message.extend(body);
    message
}

/// Parses the kernel's answer to the request with this number. `None` if it is something else.
fn acknowledgement(answer: &[u8], sequence: u32) -> Option<io::Result<()>> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    let answered = u32::from_ne_bytes(answer.get(8..12)?.try_into().ok()?);
    if kind != NLMSG_ERROR || answered != sequence {
        return None;
    }
    let code = i32::from_ne_bytes(answer.get(16..20)?.try_into().ok()?);
    Some(if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-code)) })
}

fn address_body(index: u32, address: InterfaceAddress) -> Vec<u8> {
    // There is no other host on the link: without this flag an IPv6 address is unusable for the first second.
    let flags = if address.ip.is_ipv6() { IFA_F_NODAD } else { 0 };
    let mut body = vec![family(address.ip), address.prefix_bits, flags, 0];
    body.extend(index.to_ne_bytes());
    attribute(&mut body, IFA_LOCAL, &octets(address.ip));
    attribute(&mut body, IFA_ADDRESS, &octets(address.ip));
    body
}

/// Appends an attribute, padded to four bytes.
fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    body.extend(length.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

fn family(ip: IpAddr) -> u8 {
    let family = if ip.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    u8::try_from(family.as_raw()).unwrap_or_default()
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded() {
        let mut body = Vec::new();
        attribute(&mut body, 7, &[1, 2, 3]);
        assert_eq!(body, [7, 0, 7, 0, 1, 2, 3, 0]);
    }

    #[test]
    fn an_answer_to_another_request_is_skipped() {
        let mut answer = message(NLMSG_ERROR, 0, 5, &(-17_i32).to_ne_bytes());
        assert!(acknowledgement(&answer, 4).is_none());
        assert_eq!(acknowledgement(&answer, 5).unwrap().unwrap_err().raw_os_error(), Some(17));
        answer.truncate(17);
        assert!(acknowledgement(&answer, 5).is_none());
    }
}
