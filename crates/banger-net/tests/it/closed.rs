//! What a guest must not reach.

use std::io::ErrorKind;
use std::net::{Ipv6Addr, TcpListener, UdpSocket};

use crate::Test;
use crate::lab::{HOST, LAN, Lab, WORLD};
use crate::streams::{address, connect, listen, wait_for_v6};

pub(crate) const TESTS: &[Test] = &[
    ("the_host_is_closed_by_every_spelling", spellings),
    ("a_new_address_of_the_host_is_closed_at_once", new_address),
    ("the_process_has_no_files_and_no_privileges", confined),
    ("an_open_connection_ends_when_its_address_becomes_the_hosts", becomes_host),
];

/// Lets root of the guest send what the kernel would keep: packets to loopback and to others.
fn let_the_guest_send_anything(lab: &Lab) {
    lab.guest.run(|| std::fs::write("/proc/sys/net/ipv4/conf/all/route_localnet", "1").unwrap());
    lab.guest.ip("rule add pref 1 to 127.0.0.0/8 table 7");
    lab.guest.ip("rule add pref 2 table local");
    lab.guest.ip("rule del pref 0");
    lab.guest.ip("route add 127.0.0.0/8 via 10.0.2.2 src 10.0.2.15 table 7");
    lab.guest.ip("route add 169.254.0.0/16 via 10.0.2.2");
}

fn spellings() {
    let lab = Lab::new();
    wait_for_v6(&lab);
    let_the_guest_send_anything(&lab);
    lab.host.ip("route add local 203.0.113.0/24 dev lo");
    lab.world.ip("address add 169.254.169.254/32 dev lo");
    let listeners = [listen(&lab.host, 8081), listen(&lab.world, 8081)];
    let datagrams =
        [&lab.host, &lab.world].map(|at| at.run(|| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 8081)).unwrap()));
    for closed in [
        "127.0.0.1",
        "127.255.0.53",
        "0.0.0.1",
        "10.0.2.2",
        "10.0.2.3",
        HOST,
        LAN,
        "192.0.2.255",
        "203.0.113.7",
        "169.254.169.254",
        "2001:db8::1",
        "2001:db8::2",
        "2002:c000:201::1",
        "64:ff9b::7f00:1",
        "64:ff9b::c000:201",
        "fd62:616e:6765::2",
        "fd62:616e:6765::3",
        "fd00:ec2::254",
    ] {
        let Err(error) = connect(&lab.guest, address(closed, 8081)) else { panic!("{closed} answers") };
        assert!(
            matches!(
                error.kind(),
                ErrorKind::HostUnreachable | ErrorKind::PermissionDenied | ErrorKind::NetworkUnreachable
            ),
            "{closed}: {error}"
        );
        let any = if closed.contains(':') { "::" } else { "0.0.0.0" };
        let guest = lab.guest.run(|| UdpSocket::bind(address(any, 0)).unwrap());
        let _ = guest.send_to(b"smuggled", address(closed, 8081));
    }
    // What was sent before has been judged when this arrives.
    let mut last = connect(&lab.guest, address(WORLD, 8081)).unwrap();
    std::io::Write::write_all(&mut last, b"x").unwrap();
    for socket in datagrams {
        socket.set_nonblocking(true).unwrap();
        assert_eq!(
            socket.recv(&mut [0; 10]).unwrap_err().kind(),
            ErrorKind::WouldBlock,
            "a datagram came through"
        );
    }
    assert_nobody(&listeners[0]);
}

fn assert_nobody(listener: &TcpListener) {
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "somebody was connected");
}

fn new_address() {
    let lab = Lab::new();
    let _listener = listen(&lab.host, 8081);
    lab.host.ip("address add 198.51.100.9/32 dev lo");
    assert!(connect(&lab.guest, address("198.51.100.9", 8081)).is_err());
}

fn becomes_host() {
    let lab = Lab::new();
    let listener = listen(&lab.world, 8080);
    let mut guest = connect(&lab.guest, address(WORLD, 8080)).unwrap();
    let _world = listener.accept().unwrap();
    lab.host.ip(&format!("address add {WORLD}/32 dev lo"));
    let error = std::io::Read::read(&mut guest, &mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

fn confined() {
    let lab = Lab::new();
    // It answers, so it is past its beginning.
    let listener = listen(&lab.world, 8080);
    drop(connect(&lab.guest, address(WORLD, 8080)).unwrap());
    drop(listener);
    let status = std::fs::read_to_string(format!("/proc/{}/status", lab.process)).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_start_matches(':').trim().to_owned()
    };
    assert_eq!(
        (field("NoNewPrivs"), field("Seccomp"), field("Threads")),
        ("1".into(), "2".into(), "1".into())
    );
    for capabilities in ["CapPrm", "CapEff", "CapInh"] {
        assert_eq!(u64::from_str_radix(&field(capabilities), 16).unwrap(), 0, "{capabilities}");
    }
    let files = std::fs::read_dir(format!("/proc/{}/fd", lab.process)).unwrap();
    for file in files.flatten().filter_map(|file| std::fs::read_link(file.path()).ok()) {
        let file = file.to_string_lossy().into_owned();
        let is_known = ["socket:", "anon_inode:", "/dev/null", "/dev/net/tun"]
            .iter()
            .any(|known| file.starts_with(known))
            || file.ends_with("/net/fib_trie")
            || file.ends_with("/net/ipv6_route")
            || file.ends_with("/network.log");
        assert!(is_known, "{file}");
    }
}
