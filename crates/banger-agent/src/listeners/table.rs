//! The tables `/proc/net/{tcp,tcp6,udp,udp6}`.
//!
//! Format: `Documentation/networking/proc_net_tcp.rst` of the kernel, `get_tcp4_sock` in `net/ipv4/tcp_ipv4.c` and
//! `ip6_dgram_sock_seq_show` in `net/ipv6/datagram.c`. Columns are separated by blanks:
//!
//! ```text
//!   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode …
//!    0: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 18373 …
//! ```
//! An address is the words of `struct in_addr` or `in6_addr`, each as the number that this processor reads there, in
//! hexadecimal; a port is the number itself.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

use banger_agent_proto::listener::Protocol;

/// `TCP_CLOSE` and `TCP_LISTEN` of `include/net/tcp_states.h`. An unconnected UDP socket is in the first state.
const CLOSE: u8 = 7;
const LISTEN: u8 = 10;

/// A listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Socket {
    pub(super) address: SocketAddr,
    /// Number with which `/proc/<pid>/fd` identifies it.
    pub(super) inode: u64,
}

/// Returns the listening sockets of a table. Lines that do not describe a socket are skipped.
pub(super) fn read(path: &Path, protocol: Protocol) -> io::Result<Vec<Socket>> {
    let mut found = Vec::new();
    // Read line by line, because a busy server has tens of thousands of connections in it.
    for line in BufReader::new(File::open(path)?).lines() {
        found.extend(parse(&line?, protocol));
    }
    Ok(found)
}

fn parse(line: &str, protocol: Protocol) -> Option<Socket> {
    let mut columns = line.split_ascii_whitespace().skip(1);
    let (ip, port) = columns.next()?.split_once(':')?;
    let state = u8::from_str_radix(columns.nth(1)?, 16).ok()?;
    let listens = match protocol {
        Protocol::Tcp => state == LISTEN,
        Protocol::Udp => state == CLOSE,
        Protocol::Unspecified => false,
    };
    if !listens {
        return None;
    }
    let inode = columns.nth(5)?.parse().ok()?;
    let port = u16::from_str_radix(port, 16).ok()?;
    // An IPv4 address in an IPv6 socket is reported as an IPv4 address.
    let address = SocketAddr::new(parse_ip(ip)?.to_canonical(), port);
    Some(Socket { address, inode })
}

fn parse_ip(text: &str) -> Option<IpAddr> {
    let word = |index: usize| {
        let digits = text.get(index * 8..(index + 1) * 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut octets = [0; 16];
            for (index, octets) in octets.chunks_exact_mut(4).enumerate() {
                octets.copy_from_slice(&word(index)?);
            }
            Some(Ipv6Addr::from(octets).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// In the format of a kernel on this processor.
    fn line(address: SocketAddr, state: u8, inode: u64) -> String {
        let word = |octets: &[u8]| {
            format!("{:08X}", u32::from_ne_bytes([octets[0], octets[1], octets[2], octets[3]]))
        };
        let ip: String = match address.ip() {
            IpAddr::V4(ip) => word(&ip.octets()),
            IpAddr::V6(ip) => ip.octets().chunks(4).map(word).collect(),
        };
        let zeros = "0".repeat(ip.len());
        let port = address.port();
        format!(
            "  12: {ip}:{port:04X} {zeros}:0000 {state:02X} 00000000:00000000 00:00000000 00000000  1000        0 {inode} 1 0000000000000000 100 0 0 10 0"
        )
    }

    /// Lines of a real kernel on x86-64.
    #[test]
    fn the_lines_of_a_real_kernel_are_understood() {
        let tcp = "   0: 0100007F:0019 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 18373 1 0000000000000000 100 0 0 10 0                   ";
        let listening = Socket { address: "127.0.0.1:25".parse().unwrap(), inode: 18373 };
        assert_eq!(parse(tcp, Protocol::Tcp), Some(listening));
        let tcp6 = "   1: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 901 1 0000000000000000 100 0 0 10 0";
        assert_eq!(parse(tcp6, Protocol::Tcp).unwrap().address, "[::1]:22".parse().unwrap());
        let udp = " 2302: 3500007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   991        0 2011 2 0000000000000000 0";
        assert_eq!(parse(udp, Protocol::Udp).unwrap().address, "127.0.0.53:53".parse().unwrap());
        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
        assert_eq!(parse(head, Protocol::Tcp), None);
    }

    proptest! {
        #[test]
        fn every_listener_is_read_back(address: SocketAddr, inode: u64) {
            let expected = SocketAddr::new(address.ip().to_canonical(), address.port());
            for (protocol, state) in [(Protocol::Tcp, LISTEN), (Protocol::Udp, CLOSE)] {
                let socket = parse(&line(address, state, inode), protocol).unwrap();
                prop_assert_eq!((socket.address, socket.inode), (expected, inode));
            }
        }

        #[test]
        fn nothing_else_is_taken_for_a_listener(address: SocketAddr, state: u8) {
            prop_assert_eq!(parse(&line(address, state, 1), Protocol::Tcp).is_some(), state == LISTEN);
            prop_assert_eq!(parse(&line(address, state, 1), Protocol::Udp).is_some(), state == CLOSE);
        }

        #[test]
        fn any_text_is_survived(text in "\\PC{0,120}", columns in "([0-9A-Fa-f: é]{0,40} ){0,14}") {
            let _ = parse(&text, Protocol::Tcp);
            let _ = parse(&columns, Protocol::Udp);
        }
    }
}
