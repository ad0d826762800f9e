//! Ways into the guest, and what the user opens to it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};

use banger_net::control::{ControlError, Forward, ForwardProtocol, Rules, VERSION};

use crate::Test;
use crate::lab::{LAN, Lab};
use crate::namespace::Namespace;
use crate::streams::{PATIENCE, address, connect, listen};

pub(crate) const TESTS: &[Test] = &[
    ("a_forwarded_port_leads_into_the_guest", forwarded),
    ("a_thousand_connections_at_once_through_one_forward", thousand),
    ("what_the_guest_refuses_is_broken_outside", refused),
    ("a_taken_port_is_refused_and_a_removed_one_is_free", taken),
    ("forwarded_datagrams_are_answered_to_their_senders", datagrams),
    ("a_connection_into_the_guest_outlives_news_of_the_hosts_addresses", outlives),
    ("what_the_user_opens_is_open_and_closes_again", opened),
    ("a_daemon_that_does_not_behave_is_answered_or_hung_up_on", odd_requests),
];

fn forward(protocol: ForwardProtocol, listen: &str, guest_port: u16) -> Forward {
    Forward { protocol, listen: listen.parse().unwrap(), guest_port }
}

fn tcp(listen: &str) -> Forward {
    forward(ForwardProtocol::Tcp, listen, 80)
}

/// Listens in the guest.
fn guest_listener(lab: &Lab) -> TcpListener {
    lab.guest.run(|| TcpListener::bind("10.0.2.15:80").unwrap())
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn forwarded() {
    let lab = Lab::new();
    let listener = guest_listener(&lab);
    let mut control = lab.control();
    assert_eq!(control.version().unwrap(), VERSION);
    for listen in ["127.0.0.1:0", "[::1]:0"] {
        let forward = control.add_forward(tcp(listen)).unwrap();
        assert_ne!(forward.listen.port(), 0);
        let mut outside = connect(&lab.host, forward.listen).unwrap();
        let mut inside = accept(&listener);
        outside.write_all(b"question").unwrap();
        outside.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        inside.read_to_string(&mut text).unwrap();
        assert_eq!(text, "question");
        let answer = vec![7; 3 << 20];
        std::thread::scope(|threads| {
            threads.spawn(|| {
                inside.write_all(&answer).unwrap();
                inside.shutdown(Shutdown::Write).unwrap();
            });
            let mut read = Vec::new();
            outside.read_to_end(&mut read).unwrap();
            assert!(read == answer, "{} bytes", read.len());
        });
    }
    assert_eq!(control.forwards().unwrap().len(), 2);
}

fn thousand() {
    const COUNT: usize = 1000;
    let lab = Lab::new();
    crate::lab::raise_descriptor_limit();
    let listener = guest_listener(&lab);
    let forward = lab.control().add_forward(tcp("127.0.0.1:0")).unwrap();
    let inside = std::thread::spawn(move || {
        let mut streams: Vec<TcpStream> = (0..COUNT).map(|_| accept(&listener)).collect();
        crate::streams::give_numbers_back(&mut streams);
        streams
    });
    let mut streams: Vec<TcpStream> =
        (0..COUNT).map(|_| connect(&lab.host, forward.listen).unwrap()).collect();
    crate::streams::numbers_come_back(&mut streams);
    assert_eq!(lab.control().counters().unwrap().connections, COUNT as u64);
    drop((streams, inside.join().unwrap()));
}

fn refused() {
    let lab = Lab::new();
    let forward = lab.control().add_forward(tcp("127.0.0.1:0")).unwrap();
    let mut outside = connect(&lab.host, forward.listen).unwrap();
    assert_eq!(outside.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

fn taken() {
    let lab = Lab::new();
    let program = lab.host.run(|| TcpListener::bind("127.0.0.1:8080").unwrap());
    let mut control = lab.control();
    match control.add_forward(tcp("127.0.0.1:8080")) {
        Err(ControlError::Refused(error)) => assert_eq!(error.kind(), ErrorKind::AddrInUse),
        other => panic!("{other:?}"),
    }
    drop(program);
    let forward = control.add_forward(tcp("127.0.0.1:8080")).unwrap();
    assert_eq!(lab.control().forwards().unwrap(), [forward], "another daemon sees it");
    control.remove_forward(forward).unwrap();
    assert!(matches!(control.remove_forward(forward), Err(ControlError::Unknown)));
    drop(lab.host.run(|| TcpListener::bind("127.0.0.1:8080").unwrap()));
}

fn socket(at: &Namespace, local: &str) -> UdpSocket {
    let socket = at.run(|| UdpSocket::bind(local).unwrap());
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn datagrams() {
    let lab = Lab::new();
    let inside = socket(&lab.guest, "10.0.2.15:53");
    let stranger = socket(&lab.guest, "10.0.2.15:54");
    let wanted = forward(ForwardProtocol::Udp, "127.0.0.1:0", 53);
    let listen = lab.control().add_forward(wanted).unwrap().listen;
    let outside = [(); 2].map(|()| socket(&lab.host, "127.0.0.1:0"));
    let mut heard = [0; 20];
    let mut ask = |outside: &UdpSocket, text: &[u8]| -> SocketAddr {
        outside.send_to(text, listen).unwrap();
        let (count, peer) = inside.recv_from(&mut heard).unwrap();
        assert_eq!(&heard[..count], text);
        peer
    };
    let peers = [ask(&outside[0], b"first"), ask(&outside[1], b"second")];
    assert_ne!(peers[0], peers[1]);
    // Another port of the guest is not heard.
    stranger.send_to(b"forged", peers[0]).unwrap();
    inside.send_to(b"to the second", peers[1]).unwrap();
    inside.send_to(b"to the first", peers[0]).unwrap();
    for (outside, text) in outside.iter().zip(["to the first", "to the second"]) {
        let (count, from) = outside.recv_from(&mut heard).unwrap();
        assert_eq!((&heard[..count], from), (text.as_bytes(), listen));
    }
}

fn outlives() {
    let lab = Lab::new();
    let listener = guest_listener(&lab);
    let forward = lab.control().add_forward(tcp("127.0.0.1:0")).unwrap();
    let mut outside = connect(&lab.host, forward.listen).unwrap();
    let mut inside = accept(&listener);
    lab.host.ip("address add 198.51.100.9/32 dev lo");
    // The news has been taken when this has been refused.
    assert!(connect(&lab.guest, address("198.51.100.9", 80)).is_err());
    outside.write_all(b"x").unwrap();
    inside.read_exact(&mut [0]).unwrap();
}

fn opened() {
    let open = Rules { allow_lan: true, host_ports: vec![5432] };
    let lab = Lab::with_rules(open.clone());
    let mut control = lab.control();
    let _lan = listen(&lab.world, 8080);
    let host = lab.host.run(|| TcpListener::bind("127.0.0.1:5432").unwrap());
    let is_open = |to: &str, port| connect(&lab.guest, address(to, port)).is_ok();
    assert!(is_open(LAN, 8080) && is_open("10.0.2.2", 5432));
    control.set_rules(Rules::default()).unwrap();
    assert!(!is_open(LAN, 8080) && !is_open("10.0.2.2", 5432));
    control.set_rules(open).unwrap();
    assert!(is_open(LAN, 8080) && is_open("10.0.2.2", 5432));
    let mut guest = connect(&lab.guest, address("10.0.2.2", 5432)).unwrap();
    let _programs: Vec<TcpStream> = (0..3).map(|_| accept(&host)).collect();
    control.set_rules(Rules::default()).unwrap();
    assert_eq!(guest.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(!is_open(LAN, 8080) && !is_open("10.0.2.2", 5432));
    assert!(control.counters().unwrap().refused >= 4);
}

fn odd_requests() {
    let lab = Lab::new();
    let place = lab.directory.path().join("network-control.sock");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&place).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let mut socket = std::os::unix::net::UnixStream::connect(&place).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(b"{\"fly\":1}\nnonsense\n").unwrap();
    let mut answers = [0; 12];
    socket.read_exact(&mut answers).unwrap();
    assert_eq!(&answers, b"\"bad\"\n\"bad\"\n");
    // A line without an end is given up, whatever is still written.
    while socket.write_all(&[b'x'; 4096]).is_ok() {}
    assert_eq!(lab.control().version().unwrap(), VERSION);
}
