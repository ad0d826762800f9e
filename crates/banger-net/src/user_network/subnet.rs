//! The network between a guest and its gateway: the same for every machine.

use std::net::Ipv4Addr;

use banger_model::GuestNetwork;

use crate::network_gate::Prefix;

/// The guest's own address.
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
pub(crate) const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// Queries to this address go to the host's own resolver, wherever it listens.
pub(crate) const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);
pub(crate) const PREFIX_LENGTH: u8 = 24;

/// The network of the three.
pub(crate) const SUBNET: Prefix = Prefix::new([10, 0, 2, 0], PREFIX_LENGTH);

/// Largest packet of the guest's network: with its frame the kernel carries it through a Unix socket in one piece (32 KiB
/// and a page less its own notes; what is longer comes in two, between which passt may read). Connections end in passt, so
/// this is no matter of the path behind it.
pub(crate) const MTU: u32 = 32_768;

/// Longest frame: a packet with its Ethernet header.
pub(crate) const FRAME_BYTES_MAX: usize = MTU as usize + 14;

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
