//! Stands between a machine and its user-mode network and keeps the guest from the host's own services.
//!
//! passt opens the guest's connections as this user on this host. Its options close the way over the gateway, but a
//! guest whose root sends packets to 127.0.0.1 or to an address of the host's own reaches what listens there. No option
//! of passt 2023-03-09 stops that (`--outbound-if4` does not hold for loopback), so frames pass through here, in a
//! process of their own that lives as long as the machine:
//!
//! ```text
//! QEMU ── stdin [ gate ] stdout ── passt
//!      ────▶ frames to the host are dropped ────▶
//!      ◀──────────── everything ◀────────────────
//! ```
//!
//! QEMU sends frames through a socket, each behind its length. Firecracker has a tap in a namespace of its own; the gate
//! then gets the other tap of that namespace's bridge ([`TAP_ARGUMENT`]).

mod tap;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// What this program's command line is when it plays the gate.
pub const ARGUMENT: &str = "network-gate";

/// What follows [`ARGUMENT`] when the machine has a tap.
pub const TAP_ARGUMENT: &str = "tap";

/// Longest frame that either side may send: passt's buffers hold 64 KiB.
const FRAME_BYTES_MAX: usize = 128 * 1024;

const BUFFER_BYTES: usize = 256 * 1024;
const LENGTH_BYTES: usize = 4;

/// How old the list of the host's addresses may get.
const ADDRESSES_AGE_MAX: Duration = Duration::from_secs(2);

/// Plays the gate between stdin and stdout, which must be sockets, until one of them closes.
///
/// # Errors
/// When a socket fails.
pub fn run() -> io::Result<()> {
    let machine = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let network = UnixStream::from(io::stdout().as_fd().try_clone_to_owned()?);
    stand_between(&machine, &network, HostAddresses::default())
}

/// Plays the gate between a tap, which comes through the socket on stdin, and the socket on stdout, until either socket
/// closes: the one on stdin closes with the machine.
///
/// # Errors
/// When a socket fails.
pub fn run_for_tap() -> io::Result<()> {
    let machine = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let network = UnixStream::from(io::stdout().as_fd().try_clone_to_owned()?);
    tap::stand_between(&machine, network)
}

fn stand_between(machine: &UnixStream, network: &UnixStream, addresses: HostAddresses) -> io::Result<()> {
    std::thread::scope(|threads| {
        let inward = threads.spawn(|| {
            let carried = carry_all(network, machine);
            end(machine, network);
            carried
        });
        let outward = carry_allowed(machine, network, addresses);
        end(machine, network);
        outward.and(inward.join().unwrap_or_else(|_panic| Err(io::Error::other("the way in failed"))))
    })
}

/// Wakes the other way too. An end that is closed already is fine.
fn end(machine: &UnixStream, network: &UnixStream) {
    for socket in [machine, network] {
        let _ = socket.shutdown(Shutdown::Both);
    }
}

fn carry_all(mut from: &UnixStream, mut to: &UnixStream) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            count => to.write_all(buffer.get(..count).unwrap_or_default())?,
        }
    }
}

fn carry_allowed(mut from: &UnixStream, mut to: &UnixStream, mut addresses: HostAddresses) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut waiting = Vec::new();
    let mut allowed = Vec::new();
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        waiting.extend_from_slice(buffer.get(..count).unwrap_or_default());
        let taken = sort_out(&waiting, addresses.current(), &mut allowed)?;
        waiting.drain(..taken);
        to.write_all(&allowed)?;
        allowed.clear();
    }
}

/// Copies the whole frames that may pass, each with its length, and returns how many bytes were looked at.
fn sort_out(bytes: &[u8], host: &[Ipv4Addr], allowed: &mut Vec<u8>) -> io::Result<usize> {
    let mut rest = bytes;
    while let Some((length, behind)) = rest.split_first_chunk::<LENGTH_BYTES>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > FRAME_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame is too long"));
        }
        let Some((frame, next)) = behind.split_at_checked(length) else { break };
        if may_pass(frame, host) {
            allowed.extend_from_slice(rest.get(..LENGTH_BYTES + length).unwrap_or_default());
        }
        rest = next;
    }
    Ok(bytes.len() - rest.len())
}

/// The rule: IPv4 to anywhere but this host, and the questions for hardware addresses that it needs.
fn may_pass(frame: &[u8], host: &[Ipv4Addr]) -> bool {
    let Some((header, packet)) = frame.split_at_checked(14) else { return false };
    match header {
        [.., 0x08, 0x06] => true,
        [.., 0x08, 0x00] => destination(packet).is_some_and(|address| may_reach(address, host)),
        _ => false,
    }
}

fn destination(packet: &[u8]) -> Option<Ipv4Addr> {
    let is_version_4 = packet.first().is_some_and(|first| first >> 4 == 4);
    let address: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
    is_version_4.then(|| address.into())
}

fn may_reach(address: Ipv4Addr, host: &[Ipv4Addr]) -> bool {
    if address == crate::user_network::passt::NAME_SERVER {
        return true;
    }
    // Linux takes every address of 0.0.0.0/8 that it does not route for itself.
    let is_this_host =
        address.is_loopback() || address.octets().first() == Some(&0) || host.contains(&address);
    !is_this_host && !address.is_multicast() && !address.is_broadcast()
}

/// The host's own addresses, which change while a machine runs.
#[derive(Default)]
struct HostAddresses {
    addresses: Vec<Ipv4Addr>,
    read_at: Option<Instant>,
}

impl HostAddresses {
    fn current(&mut self) -> &[Ipv4Addr] {
        let is_old = self.read_at.is_none_or(|read_at| read_at.elapsed() > ADDRESSES_AGE_MAX);
        if is_old {
            // Should the list be unreadable for once, the last one is better than none.
            if let Ok(table) = std::fs::read_to_string("/proc/net/fib_trie") {
                self.addresses = local_addresses(&table);
            }
            self.read_at = Some(Instant::now());
        }
        &self.addresses
    }
}

/// Returns the addresses that the kernel's routing tree calls its own.
fn local_addresses(fib_trie: &str) -> Vec<Ipv4Addr> {
    let mut addresses = Vec::new();
    let mut last: Option<Ipv4Addr> = None;
    for line in fib_trie.lines() {
        let line = line.trim();
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse().ok();
        } else if line.ends_with("host LOCAL") {
            addresses.extend(last);
        }
    }
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(ethertype: [u8; 2], destination: [u8; 4]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend(ethertype);
        frame.push(0x45);
        frame.extend([0; 15]);
        frame.extend(destination);
        frame.extend(b"payload");
        frame
    }

    fn passes(destination: [u8; 4]) -> bool {
        may_pass(&frame([8, 0], destination), &[Ipv4Addr::new(192, 0, 2, 2)])
    }

    fn with_length(frame: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(frame.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend(frame);
        bytes
    }

    #[test]
    fn the_world_passes_and_the_host_does_not() {
        for world in [[198, 51, 100, 1], [10, 0, 2, 3], [10, 0, 2, 2], [192, 0, 2, 1], [128, 0, 0, 1]] {
            assert!(passes(world), "{world:?}");
        }
        for host in [[127, 0, 0, 1], [127, 0, 0, 53], [0, 0, 0, 0], [0, 1, 2, 3], [192, 0, 2, 2]] {
            assert!(!passes(host), "{host:?}");
        }
        assert!(!passes([224, 0, 0, 251]));
        assert!(!passes([255, 255, 255, 255]));
    }

    #[test]
    fn only_ipv4_and_arp_pass() {
        assert!(may_pass(&frame([8, 6], [127, 0, 0, 1]), &[]));
        for other in [[0x86, 0xdd], [0x81, 0], [0x88, 0xa8], [0, 0]] {
            assert!(!may_pass(&frame(other, [198, 51, 100, 1]), &[]), "{other:?}");
        }
        let mut wrong_version = frame([8, 0], [198, 51, 100, 1]);
        wrong_version[14] = 0x65;
        assert!(!may_pass(&wrong_version, &[]));
        assert!(!may_pass(&frame([8, 0], [198, 51, 100, 1])[..33], &[]));
    }

    #[test]
    fn the_hosts_addresses_are_read_from_the_routing_tree() {
        let tree = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 192.0.2.0\n        \
                    /24 link UNICAST\n     |-- 192.0.2.2\n        /32 host LOCAL\n     |-- 192.0.2.255\n        /32 link \
                    BROADCAST\nLocal:\n     |-- 127.0.0.0\n        /8 host LOCAL\n     |-- 192.0.2.2\n        /32 host LOCAL\n";
        assert_eq!(local_addresses(tree), [Ipv4Addr::new(127, 0, 0, 0), Ipv4Addr::new(192, 0, 2, 2)]);
    }

    #[test]
    fn the_end_of_one_side_is_the_end_of_both() {
        let (machine, gate_machine) = UnixStream::pair().unwrap();
        let (network, gate_network) = UnixStream::pair().unwrap();
        let gate =
            std::thread::spawn(move || stand_between(&gate_machine, &gate_network, HostAddresses::default()));
        let (good, bad) = (frame([8, 0], [198, 51, 100, 1]), frame([8, 0], [127, 0, 0, 1]));
        for frame in [&bad, &good, &bad] {
            (&machine).write_all(&with_length(frame)).unwrap();
        }
        (&network).write_all(b"back").unwrap();
        let mut back = [0; 4];
        (&machine).read_exact(&mut back).unwrap();
        assert_eq!(&back, b"back");
        drop(machine);
        let mut seen = Vec::new();
        (&network).read_to_end(&mut seen).unwrap();
        assert_eq!(seen, with_length(&good));
        gate.join().unwrap().unwrap();
    }

    proptest! {
        #[test]
        fn how_bytes_arrive_does_not_matter(cut in 0_usize..200) {
            let (good, bad) = (frame([8, 0], [198, 51, 100, 1]), frame([8, 0], [127, 0, 0, 1]));
            let stream: Vec<u8> = [&good, &bad, &bad, &good].iter().flat_map(|frame| with_length(frame)).collect();
            let cut = cut.min(stream.len());
            let mut allowed = Vec::new();
            let taken = sort_out(&stream[..cut], &[], &mut allowed).unwrap();
            prop_assert!(taken <= cut);
            let rest = sort_out(&stream[taken..], &[], &mut allowed).unwrap();
            prop_assert_eq!(taken + rest, stream.len());
            prop_assert_eq!(allowed, [with_length(&good), with_length(&good)].concat());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = sort_out(&bytes, &[], &mut Vec::new());
            let _ = may_pass(&bytes, &[]);
        }
    }
}
