//! What the guest asks of its neighbour: hardware addresses, an address of its own, the way out, and whether somebody is there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::link::Patience;
use super::shared::Shared;
use crate::user_network::subnet::{
    ADDRESS, GATEWAY, GATEWAY_LINK_LOCAL, GATEWAY_MAC, GATEWAY_V6, MASK, MTU, NAME_SERVER, NAME_SERVER_V6,
    PREFIX_V6,
};
use crate::wire::ethernet::{self, EtherType};
use crate::wire::icmp::{self, Echo};
use crate::wire::ndp::{self, Advertisement, Question};
use crate::wire::udp::Datagram;
use crate::wire::{arp, dhcp, ip};

/// To everybody on the link.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Answers a question for a hardware address. Only the gateway and the name server have one.
pub(super) fn answer_arp(packet: &[u8], shared: &mut Shared) -> Option<()> {
    let request = arp::read(packet)?;
    // A guest that looks whether its address is free has none yet.
    let is_guests = request.sender == ADDRESS || request.sender.is_unspecified();
    let is_known = request.target == GATEWAY || request.target == NAME_SERVER;
    (is_guests && is_known).then_some(())?;
    let header = ethernet::header(GATEWAY_MAC, request.sender_mac, EtherType::Arp);
    shared.send(&header, [&arp::reply(request, GATEWAY_MAC), &[]], Patience::None);
    Some(())
}

/// Answers a question of neighbour discovery. The gateway advertises itself only where the host has a way to the world of IPv6:
/// a guest would otherwise wait for answers that never come.
pub(super) fn answer_ndp(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    message: &[u8],
    is_way_out: bool,
    shared: &mut Shared,
) -> Option<()> {
    let to = if source.is_unspecified() { ALL_NODES } else { source };
    match ndp::read(source.into(), destination.into(), message)? {
        Question::Router => {
            is_way_out.then_some(())?;
            let advertisement =
                Advertisement { mac: GATEWAY_MAC, prefix: PREFIX_V6, mtu: MTU, name_server: NAME_SERVER_V6 };
            let answer = ndp::write_router(&advertisement, GATEWAY_LINK_LOCAL, to);
            shared.send_on_the_link(GATEWAY_LINK_LOCAL.into(), to.into(), &answer);
        }
        Question::Neighbour { target } => {
            // Of a guest that looks whether its own address is free, nothing is heard but silence.
            [GATEWAY_LINK_LOCAL, GATEWAY_V6, NAME_SERVER_V6].contains(&target).then_some(())?;
            let answer = ndp::write_neighbour(target, to, GATEWAY_MAC);
            shared.send_on_the_link(target.into(), to.into(), &answer);
        }
    }
    Some(())
}

/// Answers an echo request in the name of its destination.
pub(super) fn answer_echo(source: IpAddr, destination: IpAddr, echo: Echo<'_>, shared: &mut Shared) {
    let is_v4 = source.is_ipv4();
    let [_request, reply] = icmp::echo_types(is_v4);
    let message = icmp::write_echo(reply, destination, source, echo);
    shared.send_packet(destination, source, if is_v4 { ip::ICMP } else { ip::ICMPV6 }, &message);
}

/// Gives the guest its address.
pub(super) fn answer_dhcp(datagram: Datagram<'_>, shared: &mut Shared) -> Option<()> {
    (datagram.source_port == dhcp::CLIENT_PORT && datagram.destination_port == dhcp::SERVER_PORT)
        .then_some(())?;
    let lease = dhcp::Lease {
        address: ADDRESS,
        mask: MASK,
        gateway: GATEWAY,
        name_server: NAME_SERVER,
        mtu: u16::try_from(MTU).unwrap_or(u16::MAX),
    };
    let answer = dhcp::answer(&dhcp::read(datagram.payload)?, &lease)?;
    let to = (Ipv4Addr::BROADCAST, dhcp::CLIENT_PORT);
    shared.send_datagram((GATEWAY, dhcp::SERVER_PORT).into(), to.into(), &answer);
    Some(())
}
