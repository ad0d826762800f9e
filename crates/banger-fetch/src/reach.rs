//! From where an address can be reached. Sources: the IANA special-purpose address registries (RFC 6890 and its updates),
//! and the documented metadata addresses of the clouds.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// From where an address can be reached. A greater value is closer to this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// From anywhere.
    World,
    /// From within a private network.
    Network,
    /// From this host only.
    Host,
    /// From this link only; also a cloud's metadata service, and addresses that no server can have.
    Reserved,
}

impl Reach {
    /// Returns from where an address can be reached. An IPv6 address that embeds an IPv4 address is treated as that address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => of_v4(address),
            IpAddr::V6(address) => of_v6(address),
        }
    }

    /// Tells whether a server with this reach may redirect to one with the reach `target`.
    ///
    /// Servers in a private network may redirect to each other. No server may redirect to this host, not even one on this
    /// host, because it may be the near end of a tunnel.
    #[must_use]
    pub fn may_lead_to(self, target: Self) -> bool {
        match (self, target) {
            (_, Self::World) | (Self::Network | Self::Host, Self::Network) => true,
            (Self::World | Self::Reserved, Self::Network) | (_, Self::Host | Self::Reserved) => false,
        }
    }

    /// Returns a text that completes "it is …".
    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::World => "public",
            Self::Network => "in a private network",
            Self::Host => "on this host",
            Self::Reserved => "on this link, a metadata service, or no server",
        }
    }
}

fn of_v4(address: Ipv4Addr) -> Reach {
    match address.octets() {
        // The metadata and wire servers of Azure, Alibaba and Oracle.
        [168, 63, 129, 16] | [100, 100, 100, 200] | [192, 0, 0, _] => Reach::Reserved,
        [0 | 127, ..] => Reach::Host,
        [169, 254, ..] | [224..=255, ..] => Reach::Reserved,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] | [198, 18..=19, ..] => {
            Reach::Network
        }
        _ => Reach::World,
    }
}

fn of_v6(address: Ipv6Addr) -> Reach {
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        of_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Reach::Host,
        // IPv4-mapped, IPv4-compatible and IPv4-translated addresses (RFC 4291, RFC 2765, RFC 6052).
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        // Translated by a prefix that is local to a network (RFC 8215).
        [0x64, 0xff9b, 1, .., high, low] => embedded(high, low).max(Reach::Network),
        // 6to4.
        [0x2002, high, low, ..] => embedded(high, low),
        // Teredo, which obfuscates its addresses; and the metadata address of AWS.
        [0x2001, 0, ..] | [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] => Reach::Reserved,
        [0xfe80..=0xfebf | 0xff00..=0xffff, ..] => Reach::Reserved,
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Reach::Network,
        _ => Reach::World,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_close_address_is_close() {
        for (expected, addresses) in [
            (
                Reach::World,
                &["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1", "::ffff:1.1.1.1"][..],
            ),
            (
                Reach::Network,
                &[
                    "10.0.0.1",
                    "172.16.0.1",
                    "172.31.255.255",
                    "192.168.1.1",
                    "100.64.0.1",
                    "fd12::1",
                    "fc00::1",
                    "fec0::1",
                    "::ffff:10.0.0.1",
                    "64:ff9b::a00:1",
                    "2002:a00:1::1",
                    "64:ff9b:1::101:101",
                ],
            ),
            (
                Reach::Host,
                &[
                    "127.0.0.1",
                    "127.255.255.254",
                    "0.0.0.0",
                    "0.1.2.3",
                    "::1",
                    "::",
                    "::ffff:127.0.0.1",
                    "::127.0.0.1",
                    "64:ff9b::7f00:1",
                    "2002:7f00:1::",
                    "::ffff:0:127.0.0.1",
                    "64:ff9b:1::7f00:1",
                ],
            ),
            (
                Reach::Reserved,
                &[
                    "169.254.169.254",
                    "168.63.129.16",
                    "100.100.100.200",
                    "192.0.0.192",
                    "224.0.0.1",
                    "255.255.255.255",
                    "fe80::1",
                    "ff02::1",
                    "fd00:ec2::254",
                    "::ffff:169.254.169.254",
                    "64:ff9b::a9fe:a9fe",
                    "2001::1",
                ],
            ),
        ] {
            for address in addresses {
                assert_eq!(Reach::of(address.parse().unwrap()), expected, "{address}");
            }
        }
    }

    #[test]
    fn nobody_leads_to_this_host_and_the_world_leads_to_the_world_only() {
        use Reach::{Host, Network, Reserved, World};
        let allowed = [
            (World, World),
            (Network, World),
            (Host, World),
            (Reserved, World),
            (Network, Network),
            (Host, Network),
        ];
        for from in [World, Network, Host, Reserved] {
            for to in [World, Network, Host, Reserved] {
                assert_eq!(from.may_lead_to(to), allowed.contains(&(from, to)), "{from:?} to {to:?}");
            }
        }
    }
}
