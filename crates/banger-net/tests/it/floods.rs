//! A guest that means harm costs little, reaches nothing, and its other connections go on.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};

use crate::Test;
use crate::frame::{ACK, Device, GUEST, SYN, datagram, packet, piece, segment, udp};
use crate::lab::{Lab, WORLD};
use crate::streams::{address, connect, listen};

/// Memory that the process may take whatever a guest does; it has 8 MiB at rest.
const MEMORY_KIB_MAX: u64 = 64 * 1024;
const MEMORY_AT_REST_KIB_MAX: u64 = 8 * 1024;

/// Frames of a flood: many more than anything holds.
const FRAMES: u32 = 100_000;

pub(crate) const TESTS: &[Test] = &[
    ("a_process_at_rest_takes_little", at_rest),
    ("calls_that_nobody_answers_are_bounded", syns),
    ("datagrams_from_every_port_are_bounded", sources),
    ("pieces_that_never_become_a_packet_are_bounded", pieces),
    ("connections_that_take_nothing_are_bounded", zero_windows),
    ("frames_with_two_readings_lead_nowhere", smuggled),
    ("two_calls_at_once_and_senseless_options_do_no_harm", spin),
    ("pieces_that_overlap_lead_nowhere", overlapping),
    ("other_senders_are_not_believed", strangers),
];

const WORLD_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// Takes everything and answers nothing.
const HOLE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 99);

/// A lab with a connection that goes on, and a hole.
struct Flooded {
    lab: Lab,
    device: Device,
    guest: TcpStream,
    world: TcpStream,
}

impl Flooded {
    fn new() -> Self {
        let lab = Lab::new();
        lab.world.ip("route add blackhole 203.0.113.99/32");
        let listener = listen(&lab.world, 8080);
        let guest = connect(&lab.guest, address(WORLD, 8080)).unwrap();
        let (world, _) = listener.accept().unwrap();
        let device = Device::of(&lab.guest);
        Self { lab, device, guest, world }
    }

    /// What was sent before has been judged when this arrives.
    fn goes_on(&mut self) {
        self.guest.write_all(b"ping").unwrap();
        let mut text = [0; 4];
        self.world.read_exact(&mut text).unwrap();
        self.world.write_all(b"pong").unwrap();
        self.guest.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"pong");
        let resident = self.lab.resident_kib();
        assert!(resident < MEMORY_KIB_MAX, "{resident} KiB");
    }
}

fn at_rest() {
    let mut flooded = Flooded::new();
    flooded.goes_on();
    let resident = flooded.lab.resident_kib();
    assert!(resident < MEMORY_AT_REST_KIB_MAX, "{resident} KiB");
}

fn syns() {
    let mut flooded = Flooded::new();
    for number in 0..FRAMES {
        let port = (number % 60_000 + 1024) as u16;
        flooded.device.send(&segment(GUEST, port, (HOLE, 80 + (number / 60_000) as u16), (SYN, number), &[]));
    }
    flooded.goes_on();
}

fn sources() {
    let mut flooded = Flooded::new();
    for number in 0..FRAMES {
        let port = (number % 64_000 + 1024) as u16;
        flooded.device.send(&datagram(GUEST, port, (WORLD_ADDRESS, 9 + (number / 64_000) as u16), b"x"));
    }
    flooded.goes_on();
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", flooded.lab.process)).unwrap().count();
    assert!(descriptors < 1200, "{descriptors}");
}

fn pieces() {
    let mut flooded = Flooded::new();
    for number in 0..FRAMES {
        let place = 0x2000 | (number % 64 * 100) as u16;
        flooded.device.send(&piece(GUEST, WORLD_ADDRESS, 17, ((number / 64) as u16, place), &[7; 800]));
    }
    flooded.goes_on();
}

/// Connections whose guest announces a window of nothing, while the world sends.
fn zero_windows() {
    let mut flooded = Flooded::new();
    let listener = listen(&flooded.lab.world, 8081);
    let mut streams = Vec::new();
    for _ in 0..200 {
        let guest = flooded.lab.guest.run(|| connect(&flooded.lab.guest, address(WORLD, 8081)).unwrap());
        let (mut world, _) = listener.accept().unwrap();
        world.set_nonblocking(true).unwrap();
        let text = vec![7; 1 << 20];
        let mut written = 0;
        while let Ok(count) = world.write(&text) {
            written += count;
            if written > 16 << 20 {
                break;
            }
        }
        streams.push((guest, world));
    }
    flooded.goes_on();
}

/// Listens for datagrams on the host, wherever they are sent to.
fn host_socket(lab: &Lab) -> UdpSocket {
    let socket = lab.host.run(|| UdpSocket::bind("0.0.0.0:9999").unwrap());
    socket.set_nonblocking(true).unwrap();
    socket
}

fn assert_silent(socket: &UdpSocket) {
    let mut heard = [0; 100];
    assert_eq!(socket.recv(&mut heard).unwrap_err().kind(), ErrorKind::WouldBlock, "{heard:?}");
}

/// The frame whose first bytes are a length to a reader that has lost step; behind it lies a frame to the host's loopback.
fn smuggled() {
    let mut flooded = Flooded::new();
    let host = host_socket(&flooded.lab);
    for bytes in [100_usize, 1514, 18_266, 32_782] {
        let inner = datagram(GUEST, 39_000, (Ipv4Addr::LOCALHOST, 9999), &vec![7; bytes - 60]);
        let length = ((bytes - 4) as u32).to_be_bytes();
        let mut frame =
            [&length[..], &[2, 2, 0x52, 0x54, 0, 0x4d, 8, 0x1c], &[8, 0], &[0x45, 0, 8, 0], &inner[14..]]
                .concat();
        frame.resize(bytes, 0);
        for _ in 0..100 {
            flooded.device.send(&frame);
        }
    }
    flooded.goes_on();
    assert_silent(&host);
}

fn spin() {
    let mut flooded = Flooded::new();
    for options in [
        &[][..],
        &[2, 4, 0, 0],
        &[2, 4, 0, 1],
        &[2, 4, 0xff, 0xff],
        &[3, 3, 0xff, 0],
        &[2, 0, 0, 0],
        &[8, 1, 1, 1],
    ] {
        for _ in 0..2 {
            flooded.device.send(&segment(GUEST, 4000, (WORLD_ADDRESS, 8080), (SYN, 1), options));
        }
        for flags in [0, 1, 3, 6, 0xff, SYN | ACK, ACK] {
            flooded.device.send(&segment(GUEST, 4000, (WORLD_ADDRESS, 8080), (flags, 2), options));
        }
    }
    flooded.goes_on();
    let before = flooded.lab.processor_ticks();
    flooded.goes_on();
    assert!(flooded.lab.processor_ticks() - before < 50, "the process spins");
}

fn overlapping() {
    let mut flooded = Flooded::new();
    let world = flooded.lab.world.run(|| UdpSocket::bind((WORLD, 9999)).unwrap());
    world.set_nonblocking(true).unwrap();
    let whole = udp(GUEST, 39_000, (WORLD_ADDRESS, 9999), &[7; 56]);
    for (id, offset) in [(1, 8_usize), (2, 16)] {
        flooded.device.send(&piece(GUEST, WORLD_ADDRESS, 17, (id, 0x2000), &whole[..24]));
        flooded.device.send(&piece(GUEST, WORLD_ADDRESS, 17, (id, (offset / 8) as u16), &whole[offset..]));
        flooded.device.send(&piece(GUEST, WORLD_ADDRESS, 17, (id, 3), &whole[24..]));
    }
    flooded.goes_on();
    assert_silent(&world);
    flooded.device.send(&piece(GUEST, WORLD_ADDRESS, 17, (4, 3), &whole[24..]));
    flooded.device.send(&piece(GUEST, WORLD_ADDRESS, 17, (4, 0x2000), &whole[..24]));
    world.set_nonblocking(false).unwrap();
    assert_eq!(world.recv(&mut [0; 100]).unwrap(), 56, "pieces that do not overlap arrive");
}

fn strangers() {
    let mut flooded = Flooded::new();
    let world = flooded.lab.world.run(|| UdpSocket::bind((WORLD, 9999)).unwrap());
    world.set_nonblocking(true).unwrap();
    for source in ["0.0.0.0", "127.0.0.1", "10.0.2.2", "10.0.2.16", "192.0.2.1", "255.255.255.255"] {
        let source = source.parse().unwrap();
        flooded.device.send(&datagram(source, 4000, (WORLD_ADDRESS, 9999), b"x"));
        flooded.device.send(&segment(source, 4000, (WORLD_ADDRESS, 8080), (SYN, 1), &[]));
    }
    // Source routing.
    let mut options = packet(GUEST, WORLD_ADDRESS, 17, &udp(GUEST, 4000, (WORLD_ADDRESS, 9999), b"x"));
    options[14] = 0x46;
    flooded.device.send(&options);
    flooded.goes_on();
    assert_silent(&world);
}
