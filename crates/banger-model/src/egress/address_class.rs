//! What an address is to a guest: the one rule by which the host and its surroundings are kept closed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::embedding::{is_embedding, nat64};

/// What is known of the host and of the guest's own network. Whoever has not read it yet must not decide.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// Addresses and ranges that the host's kernel takes for its own, and broadcast addresses of its links.
    pub own: Vec<IpNet>,
    /// Ranges that the host reaches without a router.
    pub on_link: Vec<IpNet>,
    /// Ranges of the network between the guest and its gateway. Nothing else lives there.
    pub guest_networks: Vec<IpNet>,
    /// Addresses in the guest's network by which the guest reaches permitted ports of the host.
    pub gateways: Vec<IpAddr>,
}

/// Classes of addresses. All but [`Self::Public`] are closed to a guest unless a rule opens them, and
/// [`Self::can_be_opened`] says for which of them a rule can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum AddressClass {
    /// An address of the internet.
    Public,
    /// A private address, or one that the host reaches without a router.
    Lan,
    /// The gateway, which stands for the host in the guest's network.
    Gateway,
    /// An address of the host.
    Host,
    /// The network between guest and gateway.
    GuestNetwork,
    /// Loopback, and `0.0.0.0/8` and `::`, which Linux treats as loopback.
    Loopback,
    /// A service of a cloud that gives the host's credentials to whoever asks.
    Metadata,
    /// An address that is valid on one link only.
    LinkLocal,
    /// Addresses of groups.
    Multicast,
    /// All hosts of a link.
    Broadcast,
    /// An address with another address inside, such as `::ffff:127.0.0.1`.
    Embedding,
    /// Addresses for protocols or for future use.
    Reserved,
}

impl AddressClass {
    /// Returns the class of an address.
    #[must_use]
    pub fn of(address: IpAddr, facts: &HostFacts) -> Self {
        let has = |ranges: &[IpNet]| ranges.iter().any(|range| range.contains(&address));
        if facts.gateways.contains(&address) {
            return Self::Gateway;
        }
        let class = match address {
            IpAddr::V4(address) => of_v4(address),
            IpAddr::V6(address) => match nat64(address) {
                // The host's own addresses and its LAN are closed by this spelling, too.
                Some(inner) => Self::of(inner.into(), facts),
                None => of_v6(address),
            },
        };
        match class {
            Self::Public | Self::Lan if has(&facts.own) => Self::Host,
            Self::Public | Self::Lan if has(&facts.guest_networks) => Self::GuestNetwork,
            Self::Public if has(&facts.on_link) => Self::Lan,
            // A name that resolves to a gateway by way of NAT64 does not lead to the gateway of this guest.
            Self::Gateway => Self::Embedding,
            class => class,
        }
    }

    /// Tells whether a rule can open addresses of this class. The others are closed under every policy.
    #[must_use]
    pub fn can_be_opened(self) -> bool {
        match self {
            Self::Public | Self::Lan | Self::Gateway => true,
            Self::Host
            | Self::GuestNetwork
            | Self::Loopback
            | Self::Metadata
            | Self::LinkLocal
            | Self::Multicast
            | Self::Broadcast
            | Self::Embedding
            | Self::Reserved => false,
        }
    }

    /// Returns the class in words, as logs show it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "an address of the internet",
            Self::Lan => "an address of the local network",
            Self::Gateway => "a port of the host",
            Self::Host => "an address of the host",
            Self::GuestNetwork => "an address between guest and gateway",
            Self::Loopback => "a loopback address",
            Self::Metadata => "a cloud's metadata service",
            Self::LinkLocal => "a link-local address",
            Self::Multicast => "a multicast address",
            Self::Broadcast => "a broadcast address",
            Self::Embedding => "an address inside another one",
            Self::Reserved => "a reserved address",
        }
    }
}

impl std::fmt::Display for AddressClass {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// Tells whether all addresses of a range are private, or lie in one range that the host reaches without a router. Only such a
/// range opens addresses of the LAN when a rule names it: `0.0.0.0/0` does not.
pub(super) fn is_only_lan(range: &IpNet, facts: &HostFacts) -> bool {
    let private =
        LAN_V4.iter().map(|range| IpNet::from(*range)).chain(LAN_V6.iter().map(|range| IpNet::from(*range)));
    private.chain(facts.on_link.iter().copied()).any(|lan| lan.contains(range))
}

const LAN_V4: [ipnet::Ipv4Net; 5] = [
    v4([10, 0, 0, 0], 8),
    v4([172, 16, 0, 0], 12),
    v4([192, 168, 0, 0], 16),
    // Between a provider and its customers, and what VPNs such as Tailscale use.
    v4([100, 64, 0, 0], 10),
    // Test beds, and resolvers of proxies that invent addresses.
    v4([198, 18, 0, 0], 15),
];

const LAN_V6: [ipnet::Ipv6Net; 2] =
    [v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10)];

/// Metadata services outside the link-local ranges, whose address is the same for all customers of a cloud.
const METADATA_V4: [Ipv4Addr; 5] = [
    // AWS, Azure, Google, Oracle and most others; containers of AWS.
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    // Azure, Alibaba, Oracle.
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
];

const METADATA_V6: [ipnet::Ipv6Net; 4] = [
    // AWS: `fd00:ec2::254` and its neighbours (name servers, time).
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0], 32),
    // Google, Scaleway, Oracle.
    v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128),
    v6([0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42], 128),
    v6([0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe], 128),
];

fn of_v4(address: Ipv4Addr) -> AddressClass {
    if METADATA_V4.contains(&address) {
        return AddressClass::Metadata;
    }
    match address.octets() {
        [0 | 127, ..] => AddressClass::Loopback,
        [169, 254, ..] => AddressClass::LinkLocal,
        [255, 255, 255, 255] => AddressClass::Broadcast,
        [224..=239, ..] => AddressClass::Multicast,
        // Protocols of IANA; relays of 6to4; future use.
        [192, 0, 0, _] | [192, 88, 99, _] | [240..=255, ..] => AddressClass::Reserved,
        _ if LAN_V4.iter().any(|lan| lan.contains(&address)) => AddressClass::Lan,
        _ => AddressClass::Public,
    }
}

fn of_v6(address: Ipv6Addr) -> AddressClass {
    if METADATA_V6.iter().any(|range| range.contains(&address)) {
        return AddressClass::Metadata;
    }
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => AddressClass::Loopback,
        [0xff00..=0xffff, ..] => AddressClass::Multicast,
        [0xfe80..=0xfebf, ..] => AddressClass::LinkLocal,
        _ if is_embedding(address) => AddressClass::Embedding,
        _ if LAN_V6.iter().any(|lan| lan.contains(&address)) => AddressClass::Lan,
        // Protocols of IANA.
        [0x2001, 0..=0x1ff, ..] => AddressClass::Reserved,
        // Only this eighth is assigned to hosts.
        [0x2000..=0x3fff, ..] => AddressClass::Public,
        _ => AddressClass::Reserved,
    }
}

const fn v4(octets: [u8; 4], length: u8) -> ipnet::Ipv4Net {
    ipnet::Ipv4Net::new_assert(Ipv4Addr::from_octets(octets), length)
}

const fn v6(segments: [u16; 8], length: u8) -> ipnet::Ipv6Net {
    ipnet::Ipv6Net::new_assert(Ipv6Addr::from_segments(segments), length)
}

#[cfg(test)]
#[path = "address_class_tests.rs"]
mod tests;
