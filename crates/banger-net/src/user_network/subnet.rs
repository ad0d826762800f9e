//! The network between a guest and its gateway: the same for every machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use banger_model::GuestNetwork;
use ipnet::{Ipv4Net, Ipv6Net};

/// The guest's own address.
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
pub(crate) const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// Queries to this address are answered as the host resolves names.
pub(crate) const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);
pub(crate) const MASK: Ipv4Addr = Ipv4Addr::new(255, 255, 255, 0);
pub(crate) const PREFIX_LENGTH: u8 = 24;

/// The same of IPv6. A guest makes its own addresses from the prefix.
pub(crate) const PREFIX_V6: Ipv6Addr = Ipv6Addr::new(0xfd62, 0x616e, 0x6765, 0, 0, 0, 0, 0);
pub(crate) const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfd62, 0x616e, 0x6765, 0, 0, 0, 0, 2);
pub(crate) const GATEWAY_LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
pub(crate) const NAME_SERVER_V6: Ipv6Addr = Ipv6Addr::new(0xfd62, 0x616e, 0x6765, 0, 0, 0, 0, 3);

pub(crate) const SUBNET: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 2, 0), PREFIX_LENGTH);
pub(crate) const SUBNET_V6: Ipv6Net = Ipv6Net::new_assert(PREFIX_V6, 64);

/// Hardware address of the gateway, and of everybody behind it.
pub(crate) const GATEWAY_MAC: [u8; 6] = [0x52, 0x55, 0x0a, 0x00, 0x02, 0x02];

/// Largest packet of the guest's network: the largest that a tap takes. Connections end in the network's process, so this is no
/// matter of the path behind it.
pub(crate) const MTU: u32 = 65_520;

/// Tells whether the guest may send from this address.
pub(crate) fn is_guests(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address == ADDRESS,
        IpAddr::V6(address) => {
            SUBNET_V6.contains(&address) && address != GATEWAY_V6 && address != NAME_SERVER_V6
        }
    }
}

/// Returns how a guest whose interface has this hardware address reaches the network.
pub(crate) fn guest_network(mac: &str) -> GuestNetwork {
    GuestNetwork {
        mac: mac.to_owned(),
        address: format!("{ADDRESS}/{PREFIX_LENGTH}"),
        gateway: GATEWAY.to_string(),
        dns_servers: vec![NAME_SERVER.to_string()],
        mtu: None,
    }
}
