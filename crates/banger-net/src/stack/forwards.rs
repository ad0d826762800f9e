//! Ports of the host that lead into the guest.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, accept_with, bind, getsockname, listen,
    recvfrom, sendto, socket_with, sockopt,
};

use super::shared::Shared;
use super::slab::{Id, Slab};
use super::source::Source;
use super::tcp;
use crate::control::{Forward, ForwardProtocol};
use crate::user_network::subnet::{ADDRESS, GATEWAY};

const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

/// Forwards of one machine.
const COUNT_MAX: usize = 1024;
/// Connections that wait to be taken from one port.
const BACKLOG: i32 = 1024;
/// Peers of all forwards of datagrams. Of more, half are forgotten at once.
const PEERS_MAX: usize = 1024;

/// Datagrams or connections that are taken before somebody else has a turn.
const AT_ONCE: usize = 64;
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// Ports by which the guest knows peers are tried so often.
const TRIES: u32 = 32;
const FIRST_PORT: u16 = 32_768;

struct Open {
    forward: Forward,
    socket: OwnedFd,
}

/// Somebody who sends datagrams to the guest. The guest knows it by a port of the gateway.
struct Peer {
    forward: Id,
    address: SocketAddr,
    guest_port: u16,
    used_at: Instant,
}

pub(super) struct Forwards {
    open: Slab<Open>,
    /// By the gateway's port.
    peers: HashMap<u16, Peer>,
    ports: HashMap<(Id, SocketAddr), u16>,
}

impl Forwards {
    pub(super) fn new() -> Self {
        Self { open: Slab::new(), peers: HashMap::new(), ports: HashMap::new() }
    }

    pub(super) fn list(&self) -> Vec<Forward> {
        self.open.iter().map(|(_, open)| open.forward).collect()
    }

    /// Opens a port, and returns it with its number.
    pub(super) fn add(&mut self, forward: Forward, shared: &Shared) -> Result<Forward, Errno> {
        if self.open.len() >= COUNT_MAX {
            return Err(Errno::NOBUFS);
        }
        let socket = open_socket(forward)?;
        let listen = SocketAddr::try_from(getsockname(&socket)?).map_err(|_odd| Errno::AFNOSUPPORT)?;
        let forward = Forward { listen, ..forward };
        let id = self.open.insert_with(|_id| Open { forward, socket });
        let watched =
            self.open.get_mut(id).map(|open| shared.watch_reading(&open.socket, Source::Listener(id)));
        if let Some(Ok(())) = watched {
            Ok(forward)
        } else {
            self.open.remove(id);
            Err(Errno::NOMEM)
        }
    }

    /// Closes a port. `false`: it is not open.
    pub(super) fn remove(&mut self, forward: Forward) -> bool {
        let found = self.open.iter().find(|(_, open)| open.forward == forward).map(|(id, _)| id);
        let Some(id) = found else { return false };
        self.open.remove(id);
        self.peers.retain(|_, peer| peer.forward != id);
        self.ports.retain(|(of, _), _| *of != id);
        true
    }

    /// Takes what has come to a port.
    pub(super) fn take(&mut self, id: Id, flows: &mut tcp::Flows, shared: &mut Shared) {
        let Some(open) = self.open.get_mut(id) else { return };
        match open.forward.protocol {
            ForwardProtocol::Tcp => open.accept(flows, shared),
            ForwardProtocol::Udp => self.receive(id, shared),
        }
    }

    fn receive(&mut self, id: Id, shared: &mut Shared) {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        for _ in 0..AT_ONCE {
            let Some(open) = self.open.get_mut(id) else { return };
            let guest_port = open.forward.guest_port;
            let (length, from) = match recvfrom(&open.socket, &mut buffer, RecvFlags::empty()) {
                Ok((_, length, Some(from))) => (length, from),
                Ok((_, _, None)) | Err(Errno::INTR | Errno::CONNREFUSED) => continue,
                Err(_none) => return,
            };
            let Ok(from) = SocketAddr::try_from(from) else { continue };
            let Some(port) = self.port_of(id, from, guest_port, shared) else { continue };
            let payload = buffer.get(..length).unwrap_or_default();
            shared.send_datagram((GATEWAY, port).into(), (ADDRESS, guest_port).into(), payload);
        }
    }

    /// Returns the gateway's port by which the guest knows a peer.
    fn port_of(
        &mut self,
        forward: Id,
        address: SocketAddr,
        guest_port: u16,
        shared: &mut Shared,
    ) -> Option<u16> {
        if let Some(port) = self.ports.get(&(forward, address)) {
            if let Some(peer) = self.peers.get_mut(port) {
                peer.used_at = shared.now;
            }
            return Some(*port);
        }
        if self.peers.len() >= PEERS_MAX {
            self.forget_half();
        }
        let port = (0..TRIES).map(|_| random_port(shared)).find(|port| !self.peers.contains_key(port))?;
        self.peers.insert(port, Peer { forward, address, guest_port, used_at: shared.now });
        self.ports.insert((forward, address), port);
        Some(port)
    }

    fn forget_half(&mut self) {
        let mut uses: Vec<Instant> = self.peers.values().map(|peer| peer.used_at).collect();
        uses.sort_unstable();
        let Some(&middle) = uses.get(uses.len() / 2) else { return };
        self.peers.retain(|_, peer| peer.used_at > middle);
        let peers = &self.peers;
        self.ports.retain(|_, port| peers.contains_key(port));
    }

    /// Sends a datagram of the guest back to whom it answers. `false`: it answers nobody.
    pub(super) fn answer(
        &mut self,
        guest_port: u16,
        gateway_port: u16,
        payload: &[u8],
        now: Instant,
    ) -> bool {
        let Some(peer) = self.peers.get_mut(&gateway_port) else { return false };
        if peer.guest_port != guest_port {
            return false;
        }
        peer.used_at = now;
        if let Some(open) = self.open.get_mut(peer.forward) {
            // What the kernel does not take is lost, as on any network.
            let _ = sendto(&open.socket, payload, SendFlags::NOSIGNAL, &peer.address);
        }
        true
    }
}

impl Open {
    fn accept(&self, flows: &mut tcp::Flows, shared: &mut Shared) {
        let guest = SocketAddr::new(ADDRESS.into(), self.forward.guest_port);
        for _ in 0..AT_ONCE {
            let Ok(socket) = accept_with(&self.socket, FLAGS) else { return };
            // The peer's own address may be one that the guest takes for its own, or for none.
            let port = (0..TRIES)
                .map(|_| random_port(shared))
                .find(|port| !flows.has(guest, SocketAddr::new(GATEWAY.into(), *port)));
            if let Some(port) = port {
                flows.call(guest, SocketAddr::new(GATEWAY.into(), port), socket, shared);
            }
        }
    }
}

fn random_port(shared: &mut Shared) -> u16 {
    let [high, low, ..] = shared.random().to_ne_bytes();
    u16::from_be_bytes([high, low]) | FIRST_PORT
}

fn open_socket(forward: Forward) -> Result<OwnedFd, Errno> {
    let is_v4 = forward.listen.is_ipv4();
    let family = if is_v4 { AddressFamily::INET } else { AddressFamily::INET6 };
    let kind = match forward.protocol {
        ForwardProtocol::Tcp => SocketType::STREAM,
        ForwardProtocol::Udp => SocketType::DGRAM,
    };
    let socket = socket_with(family, kind, FLAGS, None)?;
    if !is_v4 {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if forward.protocol == ForwardProtocol::Tcp {
        // A port whose last connections still fade away can be opened again.
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    bind(&socket, &forward.listen)?;
    if forward.protocol == ForwardProtocol::Tcp {
        listen(&socket, BACKLOG)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
    }
    Ok(socket)
}
