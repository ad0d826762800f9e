//! Where a guest has no business, whatever the host's own addresses are: a rule over addresses, without any look at the host.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::prefix::Prefix;
use crate::user_network::subnet::{SUBNET, SUBNET_V6};

const ALWAYS: [Prefix; 17] = [
    // Linux takes every address of 0.0.0.0/8 that it does not route for itself.
    Prefix::v4([0, 0, 0, 0], 8),
    Prefix::v4([127, 0, 0, 0], 8),
    // Link-local: a cloud's metadata service gives its host's credentials to whoever asks.
    Prefix::v4([169, 254, 0, 0], 16),
    // The metadata services of Azure, Alibaba Cloud and Oracle (in IANA's range for protocols) have addresses of their own.
    Prefix::v4([168, 63, 129, 16], 32),
    Prefix::v4([100, 100, 100, 200], 32),
    Prefix::v4([192, 0, 0, 0], 24),
    // Multicast, reserved and broadcast.
    Prefix::v4([224, 0, 0, 0], 4),
    Prefix::v4([240, 0, 0, 0], 4),
    // Nobody, loopback, and IPv4 addresses in the form that was given up.
    Prefix::v6(Ipv6Addr::UNSPECIFIED, 96),
    // IPv4 addresses as a socket of IPv6 spells them.
    Prefix::v6(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96),
    Prefix::v6(Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0), 96),
    // Link-local, its predecessor, and multicast.
    Prefix::v6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
    Prefix::v6(Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10),
    Prefix::v6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8),
    // The metadata services of Amazon and Google.
    Prefix::v6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0), 32),
    Prefix::v6(Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0), 32),
    // Tunnels through a relay that the guest names.
    Prefix::v6(Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32),
];

/// The network between guest and gateway.
const OURS: [Prefix; 2] = [SUBNET, SUBNET_V6];

/// Tells whether an address is closed to every guest.
pub(super) fn is_closed(address: IpAddr) -> bool {
    ALWAYS.iter().chain(&OURS).any(|closed| closed.holds(address))
}

/// Returns the IPv4 address to which a router between the two families would translate this one.
pub(super) fn embedded(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(address) = address else { return None };
    let [high, low] = match address.segments() {
        // NAT64 (RFC 6052, RFC 8215).
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 1, _, _, _, high, low] => [high, low],
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => [high, low],
        _ => return None,
    };
    Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_world_is_open_and_loopback_link_and_many_are_not() {
        for world in [
            "198.51.100.1",
            "128.0.0.1",
            "1.1.1.1",
            "10.0.3.1",
            "169.253.255.255",
            "223.255.255.255",
            "2001:db8::1",
        ] {
            assert!(!is_closed(world.parse().unwrap()), "{world}");
        }
        for closed in [
            "127.0.0.1",
            "127.255.0.53",
            "0.0.0.0",
            "0.1.2.3",
            "10.0.2.2",
            "10.0.2.15",
            "10.0.2.3",
            "10.0.2.255",
            "169.254.169.254",
            "169.254.0.1",
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "224.0.0.251",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:0:7f00:1",
            "fe80::1",
            "fec0::1",
            "ff02::fb",
            "fd00:ec2::254",
            "fd20:ce::254",
            "2001:0:7f00:1::1",
        ] {
            assert!(is_closed(closed.parse().unwrap()), "{closed}");
        }
    }

    #[test]
    fn an_address_in_an_address_is_seen() {
        for (text, inner) in [
            ("64:ff9b::7f00:1", "127.0.0.1"),
            ("64:ff9b:1::a00:1", "10.0.0.1"),
            ("2002:c000:201::9", "192.0.2.1"),
        ] {
            assert_eq!(embedded(text.parse().unwrap()), Some(inner.parse().unwrap()), "{text}");
        }
        assert_eq!(embedded("2001:db8::1".parse().unwrap()), None);
    }
}
