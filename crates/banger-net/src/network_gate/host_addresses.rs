//! The host's own addresses, which change while a machine runs. The kernel says when: an address is closed as soon as the
//! kernel has it, with the whole range that it takes for its own (`ip route add local 198.51.100.0/24 dev lo`).
//! Source: `rtnetlink(7)`, `netlink(7)` (a queue that has run over says so by an error), `net/ipv4/fib_trie.c`.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

use super::prefix::Prefix;

/// Routes of every table of the network namespace.
const TABLE: &str = "/proc/net/fib_trie";

/// `RTMGRP_LINK`, `RTMGRP_IPV4_IFADDR`, `RTMGRP_IPV4_ROUTE`, `RTMGRP_IPV4_RULE`.
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x80;

/// The list, as fresh as the kernel's last word.
pub(crate) struct HostAddresses {
    /// `None`: the table could not be read, and nothing is known to be somebody else's.
    own: Option<Vec<Prefix>>,
    changes: OwnedFd,
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
        Ok(Self { own: Some(read()?), changes })
    }

    /// Returns the addresses; `None` while they cannot be read.
    pub(super) fn current(&mut self) -> Option<&[Prefix]> {
        if self.has_changed() || self.own.is_none() {
            let was_known = self.own.is_some();
            self.own = read().inspect_err(|error| tell(was_known, error)).ok();
        }
        self.own.as_deref()
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

fn tell(was_known: bool, error: &io::Error) {
    if was_known {
        eprintln!("cannot read `{TABLE}` ({error}): the guest's packets are dropped until it can be read");
    }
}

fn read() -> io::Result<Vec<Prefix>> {
    std::fs::read_to_string(TABLE).map(|table| own_addresses(&table))
}

/// Returns what the kernel's routing tree takes for its own or for all on a link.
fn own_addresses(fib_trie: &str) -> Vec<Prefix> {
    let mut own = Vec::new();
    let mut last: Option<Ipv4Addr> = None;
    for line in fib_trie.lines() {
        let line = line.trim();
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse().ok();
        } else if let (Some(address), Some(length)) = (last, own_length(line)) {
            own.push(Prefix::new(address.octets(), length));
        }
    }
    own.sort_unstable();
    own.dedup();
    own
}

/// Takes the length from a line such as `/32 host LOCAL`.
fn own_length(line: &str) -> Option<u8> {
    let mut words = line.strip_prefix('/')?.split_whitespace();
    let length = words.next()?.parse().ok()?;
    let _scope = words.next()?;
    matches!(words.next()?, "LOCAL" | "BROADCAST" | "ANYCAST").then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ([127, 0, 0, 0], 8),
            ([192, 0, 2, 2], 32),
            ([192, 0, 2, 255], 32),
            ([198, 51, 100, 0], 24),
            ([198, 51, 100, 0], 32),
            ([203, 0, 113, 0], 25),
        ];
        assert_eq!(own_addresses(tree), own.map(|(address, length)| Prefix::new(address, length)));
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
            assert_eq!(own_addresses(odd), [], "{odd}");
        }
    }

    #[test]
    fn the_list_is_known_from_the_begin() {
        let mut addresses = HostAddresses::watch().unwrap();
        assert_eq!(addresses.current().map(<[Prefix]>::to_vec), read().ok());
    }
}
