//! Datagrams and echoes of the guest.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::time::Duration;

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketType, connect, ipproto, recv, send, socket, sockopt,
};

use crate::Test;
use crate::lab::{HOST, Lab, WORLD, WORLD_V6};
use crate::namespace::Namespace;
use crate::streams::{PATIENCE, address, wait_for_v6};

pub(crate) const TESTS: &[Test] = &[
    ("datagrams_go_and_come_whatever_their_length", lengths),
    ("a_closed_port_is_told", closed_port),
    ("only_who_was_asked_is_heard", squat),
    ("echoes_are_answered", echoes),
];

fn bind(at: &Namespace, local: &str, port: u16) -> UdpSocket {
    let local = address(local, port);
    let socket = at.run(|| UdpSocket::bind(local).unwrap());
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn lengths() {
    let lab = Lab::new();
    wait_for_v6(&lab);
    for (world, from) in [(WORLD, "0.0.0.0"), (WORLD_V6, "::")] {
        let server = bind(&lab.world, world, 9000);
        let guest = bind(&lab.guest, from, 0);
        guest.connect(address(world, 9000)).unwrap();
        for length in [0, 1, 1472, 1473, 9000, 40_000, 65_472, 65_473, 65_492, 65_493, 65_507] {
            let sent: Vec<u8> = (0..length).map(|at| (at * 7) as u8).collect();
            guest.send(&sent).unwrap();
            let mut buffer = vec![0; 65_535];
            let received = server.recv_from(&mut buffer);
            let (count, peer) = received.unwrap_or_else(|error| panic!("{world} {length}: {error}"));
            assert!(buffer[..count] == sent, "{world} {length}: {count}");
            server.send_to(&sent, peer).unwrap();
            let received = guest.recv(&mut buffer);
            let count = received.unwrap_or_else(|error| panic!("{world} {length}: {error}"));
            assert!(buffer[..count] == sent, "{world} {length}: {count}");
        }
    }
}

fn closed_port() {
    let lab = Lab::new();
    let guest = bind(&lab.guest, "0.0.0.0", 0);
    guest.connect(address(WORLD, 9)).unwrap();
    guest.send(b"anybody?").unwrap();
    assert_eq!(guest.recv(&mut [0; 10]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

/// The guest takes no port from the host's programs, and hears nothing but answers.
fn squat() {
    let lab = Lab::new();
    let server = bind(&lab.world, WORLD, 9000);
    let stranger = bind(&lab.world, "198.51.100.2", 9000);
    let guest = bind(&lab.guest, "0.0.0.0", 8126);
    guest.send_to(b"question", address(WORLD, 9000)).unwrap();
    let (_, peer) = server.recv_from(&mut [0; 10]).unwrap();
    drop(bind(&lab.host, "0.0.0.0", 8126));
    let program = bind(&lab.host, HOST, 0);
    for port in [peer.port(), 8126] {
        // A refusal of an earlier datagram may be told here.
        let _ = program.send_to(b"secret", address(HOST, port));
        let _ = stranger.send_to(b"secret", address(HOST, port));
        let other_port = bind(&lab.world, WORLD, 0);
        let _ = other_port.send_to(b"secret", address(HOST, port));
    }
    server.send_to(b"answer", peer).unwrap();
    let mut heard = [0; 10];
    let (count, from) = guest.recv_from(&mut heard).unwrap();
    assert_eq!((&heard[..count], from), (&b"answer"[..], address(WORLD, 9000)));
}

fn echoes() {
    let lab = Lab::new();
    wait_for_v6(&lab);
    lab.guest.run(|| std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647").unwrap());
    for address in ["10.0.2.2", WORLD, WORLD_V6] {
        let answer = ping(&lab.guest, address).unwrap_or_else(|| panic!("{address} does not answer"));
        assert_eq!((&answer[6..8], &answer[8..]), (&[0, 7][..], &[9; 1000][..]), "{address}");
    }
    assert_eq!(ping(&lab.guest, HOST), None, "the host answers");
}

/// Asks whether somebody is there. `None`: nobody answers for a second.
fn ping(from: &Namespace, to: &str) -> Option<Vec<u8>> {
    let to = address(to, 0);
    let (family, protocol, request) = if to.is_ipv4() {
        (AddressFamily::INET, ipproto::ICMP, 8)
    } else {
        (AddressFamily::INET6, ipproto::ICMPV6, 128)
    };
    let socket = from.run(|| socket(family, SocketType::DGRAM, Some(protocol)).unwrap());
    connect(&socket, &to).unwrap();
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(Duration::from_secs(1))).unwrap();
    let message = [&[request, 0, 0, 0, 0, 0, 0, 7][..], &[9; 1000]].concat();
    send(&socket, &message, SendFlags::empty()).unwrap();
    let mut answer = vec![0; 2000];
    let (_, length) = recv(&socket, &mut answer, RecvFlags::empty()).ok()?;
    answer.truncate(length);
    Some(answer)
}
