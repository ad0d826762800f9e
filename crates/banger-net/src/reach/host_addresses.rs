//! The host's own addresses and networks, which change while a machine runs. The kernel says when: an address is closed as soon
//! as the kernel has it, with the whole range that it takes for its own (`ip route add local 198.51.100.0/24 dev lo`).
//! Source: `rtnetlink(7)`, `netlink(7)` (a queue that has run over says so by an error), `net/ipv4/fib_trie.c`, `net/ipv6/route.c`.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use banger_model::egress::HostFacts;
use ipnet::{Ipv4Net, Ipv6Net};
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

use crate::user_network::subnet::{GATEWAY, GATEWAY_V6, SUBNET, SUBNET_V6};

/// Routes of every table of the network namespace.
const TABLE: &str = "/proc/thread-self/net/fib_trie";
/// The same of IPv6. A kernel without IPv6 has no such file.
const TABLE_V6: &str = "/proc/thread-self/net/ipv6_route";

/// Bytes of a table that are read at once.
const PART_BYTES: usize = 32 * 1024;

/// `RTMGRP_LINK`; `RTMGRP_IPV4_IFADDR`, `RTMGRP_IPV4_ROUTE`, `RTMGRP_IPV4_RULE`; the same of IPv6.
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400 | 0x4_0000;

/// A shorter prefix is the way to the world, even where no gateway stands in it: that of a tunnel.
const LAN_LENGTH_MIN: u8 = 8;

/// `RTF_GATEWAY`, `RTF_REJECT`, `RTF_ANYCAST`, `RTF_LOCAL` of `<linux/route.h>` and `<linux/ipv6_route.h>`.
const FLAG_GATEWAY: u32 = 0x2;
const FLAG_REJECT: u32 = 0x200;
const FLAG_ANYCAST: u32 = 0x10_0000;
const FLAG_LOCAL: u32 = 0x8000_0000;

/// Where the host is, and where its neighbours are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostNetworks {
    /// Whom a policy has to know.
    pub(super) facts: HostFacts,
    /// There is a way to the world of IPv6.
    pub(super) has_default_route_v6: bool,
}

impl Default for HostNetworks {
    /// A host without addresses, with the guest's network.
    fn default() -> Self {
        let facts = HostFacts {
            guest_networks: vec![SUBNET.into(), SUBNET_V6.into()],
            gateways: vec![GATEWAY.into(), GATEWAY_V6.into()],
            ..HostFacts::default()
        };
        Self { facts, has_default_route_v6: false }
    }
}

/// The list, as fresh as the kernel's last word.
pub(crate) struct HostAddresses {
    /// `None`: the table could not be read, and nothing is known to be somebody else's.
    networks: Option<HostNetworks>,
    tables: Tables,
    changes: OwnedFd,
}

/// The kernel's tables, opened once: the process that reads them has no file system.
struct Tables {
    v4: File,
    v6: Option<File>,
}

impl HostAddresses {
    /// Reads the list and hears of changes from then on.
    ///
    /// # Errors
    /// When the kernel's table or its news cannot be read: no guest is kept from the host then.
    pub(crate) fn watch() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // No protocol: routes.
        let changes = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        // The news first: what changes after the look is in it.
        bind(&changes, &SocketAddrNetlink::new(0, GROUPS))?;
        let tables = Tables::open()?;
        Ok(Self { networks: Some(tables.read()?), tables, changes })
    }

    /// Returns the networks; `None` while they cannot be read.
    pub(crate) fn current(&mut self) -> Option<&HostNetworks> {
        if self.has_changed() || self.networks.is_none() {
            let was_known = self.networks.is_some();
            self.networks = self.tables.read().inspect_err(|error| tell(was_known, error)).ok();
        }
        self.networks.as_ref()
    }

    /// Tells whether the host reaches the world by IPv6.
    pub(crate) fn has_default_route_v6(&mut self) -> bool {
        self.current().is_some_and(|networks| networks.has_default_route_v6)
    }

    /// Takes all news. Their content does not matter, and neither do those that were lost.
    fn has_changed(&self) -> bool {
        let mut has_changed = false;
        let mut message = [0_u8; 1];
        loop {
            match recv(&self.changes, &mut message, RecvFlags::TRUNC) {
                Ok(_) => has_changed = true,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return has_changed,
                // The queue has run over, or will never work again: looking is right in both cases.
                Err(Errno::NOBUFS) => has_changed = true,
                Err(_) => return true,
            }
        }
    }
}

/// Readable when something has changed.
impl AsFd for HostAddresses {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.changes.as_fd()
    }
}

fn tell(was_known: bool, error: &io::Error) {
    if was_known {
        eprintln!("cannot read the kernel's routes ({error}): nothing is connected until they can be read");
    }
}

impl Tables {
    fn open() -> io::Result<Self> {
        let v6 = match File::open(TABLE_V6) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            opened => Some(opened?),
        };
        Ok(Self { v4: File::open(TABLE)?, v6 })
    }

    fn read(&self) -> io::Result<HostNetworks> {
        let mut networks = HostNetworks::default();
        read_v4(&whole(&self.v4)?, &mut networks);
        if let Some(table) = &self.v6 {
            read_v6(&whole(table)?, &mut networks);
        }
        for ranges in [&mut networks.facts.own, &mut networks.facts.on_link] {
            ranges.sort_unstable();
            ranges.dedup();
        }
        Ok(networks)
    }
}

fn whole(file: &File) -> io::Result<String> {
    // Plain reads: the process that does this may not even ask for the file's length.
    seek(file, SeekFrom::Start(0))?;
    let (mut text, mut part) = (Vec::new(), vec![0; PART_BYTES]);
    loop {
        match rustix::io::read(file, &mut part) {
            Ok(0) => return String::from_utf8(text).map_err(io::Error::other),
            Ok(count) => text.extend_from_slice(part.get(..count).unwrap_or_default()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Adds what stands in the kernel's routing tree.
fn read_v4(fib_trie: &str, networks: &mut HostNetworks) {
    let mut last: Option<Ipv4Addr> = None;
    for line in fib_trie.lines() {
        let line = line.trim();
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse().ok();
        } else if let (Some(address), Some((length, kind))) = (last, kind_of(line)) {
            let Ok(range) = Ipv4Net::new(address, length) else { continue };
            match kind {
                Kind::Own => networks.facts.own.push(range.into()),
                Kind::Lan => networks.facts.on_link.push(range.into()),
            }
        }
    }
}

enum Kind {
    Own,
    Lan,
}

/// Takes the length and the kind from a line such as `/32 host LOCAL`.
fn kind_of(line: &str) -> Option<(u8, Kind)> {
    let mut words = line.strip_prefix('/')?.split_whitespace();
    let length = words.next()?.parse().ok()?;
    let scope = words.next()?;
    match words.next()? {
        "LOCAL" | "BROADCAST" | "ANYCAST" => Some((length, Kind::Own)),
        "UNICAST" if scope == "link" && length >= LAN_LENGTH_MIN => Some((length, Kind::Lan)),
        _ => None,
    }
}

/// Adds what stands in the kernel's table of IPv6.
fn read_v6(ipv6_route: &str, networks: &mut HostNetworks) {
    for route in ipv6_route.lines().filter_map(read_route) {
        let Route { address, length, flags, is_loopback } = route;
        let Ok(range) = Ipv6Net::new(address, length) else { continue };
        if flags & (FLAG_LOCAL | FLAG_ANYCAST) != 0 {
            networks.facts.own.push(range.into());
        } else if flags & FLAG_REJECT != 0 || is_loopback {
            // Leads nowhere.
        } else if length == 0 {
            networks.has_default_route_v6 = true;
        } else if flags & FLAG_GATEWAY == 0 && length >= LAN_LENGTH_MIN {
            networks.facts.on_link.push(range.into());
        }
    }
}

struct Route {
    address: Ipv6Addr,
    length: u8,
    flags: u32,
    is_loopback: bool,
}

fn read_route(line: &str) -> Option<Route> {
    let mut words = line.split_whitespace();
    let address = Ipv6Addr::from_bits(u128::from_str_radix(words.next()?, 16).ok()?);
    let length = u8::from_str_radix(words.next()?, 16).ok()?;
    let flags = u32::from_str_radix(words.nth(6)?, 16).ok()?;
    Some(Route { address, length, flags, is_loopback: words.next()? == "lo" })
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use ipnet::IpNet;

    use super::*;

    fn read(fib_trie: &str) -> HostNetworks {
        let mut networks = HostNetworks::default();
        read_v4(fib_trie, &mut networks);
        networks.facts.own.sort_unstable();
        networks.facts.own.dedup();
        networks
    }

    #[test]
    fn the_hosts_addresses_of_ipv6_are_read() {
        let zero = "0".repeat(32);
        let route = |address: &str, length: u8, gateway: &str, flags: u32, interface: &str| {
            let address = address.parse::<Ipv6Addr>().unwrap().to_bits();
            format!(
                "{address:032x} {length:02x} {zero} 00 {gateway} 00000100 00000001 00000000 {flags:08x} {interface}\n"
            )
        };
        let gateway = "fe800000000000000000000000000001";
        let table = [
            route("2001:db8::", 64, &zero, 1, "eth0"),
            route("2001:db8::2", 128, &zero, 0x8020_0001, "eth0"),
            route("2001:db8:5::", 48, &zero, 0x8000_0001, "lo"),
            route("2001:db8:9::", 48, gateway, 3, "eth0"),
            route("::", 0, &zero, 0x20_0200, "lo"),
            "odd line\n".to_owned(),
        ];
        let mut networks = HostNetworks::default();
        read_v6(&table.concat(), &mut networks);
        let ranges = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpNet>>();
        assert_eq!(networks.facts.own, ranges(&["2001:db8::2/128", "2001:db8:5::/48"]));
        assert_eq!(networks.facts.on_link, ranges(&["2001:db8::/64"]));
        assert!(!networks.has_default_route_v6);
        read_v6(&route("::", 0, gateway, 3, "eth0"), &mut networks);
        assert!(networks.has_default_route_v6);
    }

    #[test]
    fn the_hosts_addresses_are_read_with_their_ranges() {
        let tree = "Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     |-- 192.0.2.0
        /24 link UNICAST
     |-- 192.0.2.2
        /32 host LOCAL
     |-- 192.0.2.255
        /32 link BROADCAST
Local:
     |-- 127.0.0.0
        /8 host LOCAL
     |-- 192.0.2.2
        /32 host LOCAL
     |-- 198.51.100.0
        /32 link BROADCAST
        /24 host LOCAL tos=16
Id 100:
     |-- 203.0.113.0
        /25 host LOCAL
";
        let own = [
            "127.0.0.0/8",
            "192.0.2.2/32",
            "192.0.2.255/32",
            "198.51.100.0/24",
            "198.51.100.0/32",
            "203.0.113.0/25",
        ];
        let networks = read(tree);
        assert_eq!(networks.facts.own, own.map(|range| range.parse::<IpNet>().unwrap()));
        assert_eq!(networks.facts.on_link, ["192.0.2.0/24".parse::<IpNet>().unwrap()]);
    }

    #[test]
    fn no_table_makes_it_panic() {
        for odd in [
            "",
            "|-- ",
            "|-- x\n/8 host LOCAL",
            "|-- 1.2.3.4\n/",
            "|-- 1.2.3.4\n/999 host LOCAL",
            "/8 host LOCAL",
        ] {
            assert_eq!(read(odd), HostNetworks::default(), "{odd}");
        }
    }

    #[test]
    fn the_list_is_known_from_the_begin() {
        let mut addresses = HostAddresses::watch().unwrap();
        let own = &addresses.current().unwrap().facts.own;
        assert!(own.iter().any(|range| range.contains(&IpAddr::from(Ipv4Addr::LOCALHOST))));
        assert_eq!(
            addresses.current().cloned(),
            addresses.tables.read().ok(),
            "a table is read again from its begin"
        );
    }
}
