//! IPv4 addresses inside IPv6 addresses. Each of these forms has led somebody past a filter that knew only the plain one.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::Ipv6Net;

/// Returns the IPv4 address that a host on an IPv6-only network reaches by this one (RFC 6052, the well-known prefix).
pub(super) fn nat64(address: Ipv6Addr) -> Option<Ipv4Addr> {
    const WELL_KNOWN: Ipv6Net = prefix([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);
    WELL_KNOWN.contains(&address).then(|| last_32_bits(address))
}

/// Tells whether the address is another one in disguise: IPv4-mapped, IPv4-compatible, IPv4-translated, 6to4, Teredo, ISATAP, or
/// NAT64 with a local prefix. No resolver returns such addresses for a host of today, so nobody needs them.
///
/// NAT64 with the well-known prefix is not among them: see [`nat64`].
pub(super) fn is_embedding(address: Ipv6Addr) -> bool {
    const FORMS: [Ipv6Net; 6] = [
        // Mapped, RFC 4291.
        prefix([0, 0, 0, 0, 0, 0xffff, 0, 0], 96),
        // Translated, RFC 2765.
        prefix([0, 0, 0, 0, 0xffff, 0, 0, 0], 96),
        // NAT64 with a local prefix, RFC 8215. The place of the IPv4 address depends on the network.
        prefix([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48),
        // Teredo, RFC 4380.
        prefix([0x2001, 0, 0, 0, 0, 0, 0, 0], 32),
        // 6to4, RFC 3056.
        prefix([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
        // Compatible, RFC 4291. It contains `::` and `::1`, which are told apart before.
        prefix([0; 8], 96),
    ];
    FORMS.iter().any(|form| form.contains(&address)) || is_isatap(address)
}

/// RFC 5214: an interface identifier under any prefix.
fn is_isatap(address: Ipv6Addr) -> bool {
    matches!(address.segments(), [.., 0x0 | 0x200, 0x5efe, _, _])
}

const fn prefix(segments: [u16; 8], length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::from_segments(segments), length)
}

fn last_32_bits(address: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = address.octets();
    Ipv4Addr::new(a, b, c, d)
}
