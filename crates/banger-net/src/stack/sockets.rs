//! Sockets of the host.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use banger_model::egress::Protocol;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, ipproto, socket_with, sockopt};

const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

/// Begins a connection. It is there when the socket can be written to.
pub(super) fn connect_tcp(to: SocketAddr) -> Result<OwnedFd, Errno> {
    let socket = socket_with(family(to), SocketType::STREAM, FLAGS, None)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    sockopt::set_socket_keepalive(&socket, true)?;
    match connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(errno) => Err(errno),
    }
}

/// Opens a socket that sends to one peer and hears only from it.
pub(super) fn open_datagrams(protocol: Protocol, to: SocketAddr) -> Result<OwnedFd, Errno> {
    let protocol = match (protocol, to) {
        (Protocol::Icmp, SocketAddr::V4(_)) => Some(ipproto::ICMP),
        (Protocol::Icmp, SocketAddr::V6(_)) => Some(ipproto::ICMPV6),
        (Protocol::Udp | Protocol::Tcp, _) => None,
    };
    let socket = socket_with(family(to), SocketType::DGRAM, FLAGS, protocol)?;
    connect(&socket, &to)?;
    Ok(socket)
}

/// Has the peer told, when the socket is closed, that its connection was broken.
pub(super) fn break_at_close(socket: &OwnedFd) {
    let _ = sockopt::set_socket_linger(socket, Some(std::time::Duration::ZERO));
}

/// Returns why a connection failed, if it has.
pub(super) fn take_error(socket: &OwnedFd) -> io::Result<Result<(), Errno>> {
    sockopt::socket_error(socket).map_err(io::Error::from)
}

/// Tells whether a socket has its peer.
pub(super) fn is_connected(socket: &OwnedFd) -> bool {
    rustix::net::getpeername(socket).is_ok()
}

fn family(address: SocketAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 }
}
