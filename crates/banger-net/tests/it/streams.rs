//! Connections of the guest.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::Test;
use crate::lab::{Lab, Lines, WORLD, WORLD_V6, raise_descriptor_limit};
use crate::namespace::Namespace;

/// Longest wait for anything. Nothing takes as long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

const MEGABYTE: usize = 1 << 20;

pub(crate) const TESTS: &[Test] = &[
    ("a_guest_reaches_the_world_by_both_families", both_families),
    ("what_is_refused_outside_is_refused_inside", refused),
    ("what_cannot_be_reached_is_told", unreachable),
    ("a_connection_is_half_closed_by_either_side", half_closed),
    ("a_broken_connection_is_broken_on_the_other_side", broken),
    ("much_arrives_bit_by_bit", much),
    ("much_arrives_over_lines_that_lose_and_reorder", lossy),
    ("a_reader_that_pauses_stops_its_writer_and_loses_nothing", paused),
    ("a_thousand_connections_at_once", thousand),
    ("small_segments_and_small_windows_work", small),
];

pub(crate) fn connect(from: &Namespace, to: impl Into<SocketAddr>) -> std::io::Result<TcpStream> {
    let to = to.into();
    let stream = from.run(|| TcpStream::connect_timeout(&to, PATIENCE))?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    Ok(stream)
}

pub(crate) fn address(text: &str, port: u16) -> SocketAddr {
    SocketAddr::new(text.parse().unwrap(), port)
}

/// Listens in a namespace, on all its addresses.
pub(crate) fn listen(at: &Namespace, port: u16) -> TcpListener {
    at.run(|| TcpListener::bind((std::net::Ipv6Addr::UNSPECIFIED, port)).unwrap())
}

/// Connects the guest with the world, and returns both ends.
fn pair(lab: &Lab, port: u16) -> (TcpStream, TcpStream) {
    let listener = listen(&lab.world, port);
    let guest = connect(&lab.guest, address(WORLD, port)).unwrap();
    let (world, _) = listener.accept().unwrap();
    for stream in [&guest, &world] {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
    }
    (guest, world)
}

/// Bytes without a pattern that a shifted piece would keep.
fn bytes(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn both_families() {
    let lab = Lab::new();
    let listener = listen(&lab.world, 8080);
    let accepted = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"from the world").unwrap();
        }
    });
    wait_for_v6(&lab);
    for world in [WORLD, WORLD_V6] {
        let mut stream = connect(&lab.guest, address(world, 8080)).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(text, "from the world", "{world}");
    }
    accepted.join().unwrap();
}

/// Waits until the guest has made itself an address from what the gateway advertises.
pub(crate) fn wait_for_v6(lab: &Lab) {
    let deadline = std::time::Instant::now() + PATIENCE;
    let has_address = || {
        let table = std::fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap();
        // Neither tentative nor of the link.
        table.lines().any(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            fields[0].starts_with("fd62616e6765") && u8::from_str_radix(fields[4], 16).unwrap() & 0x40 == 0
        })
    };
    lab.guest.run(|| {
        while !has_address() {
            assert!(std::time::Instant::now() < deadline, "the guest has no address");
            std::thread::yield_now();
        }
    });
}

fn refused() {
    let lab = Lab::new();
    let error = connect(&lab.guest, address(WORLD, 9)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

fn unreachable() {
    let lab = Lab::new();
    lab.host.ip("route add unreachable 198.51.100.77/32");
    lab.world.ip("route add unreachable 198.51.100.78/32");
    for nowhere in ["198.51.100.77", "198.51.100.78"] {
        if nowhere.ends_with('8') {
            lab.world.run(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap());
        }
        let error = connect(&lab.guest, address(nowhere, 80)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::HostUnreachable, "{nowhere}");
    }
}

fn half_closed() {
    let lab = Lab::new();
    for is_guest_first in [true, false] {
        let (guest, world) = pair(&lab, 8080);
        let (mut first, mut second) = if is_guest_first { (guest, world) } else { (world, guest) };
        first.write_all(b"question").unwrap();
        first.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        second.read_to_string(&mut text).unwrap();
        assert_eq!(text, "question");
        let answer = bytes(3 * MEGABYTE);
        let writer = std::thread::spawn({
            let answer = answer.clone();
            move || second.write_all(&answer).unwrap()
        });
        let mut read = Vec::new();
        first.read_to_end(&mut read).unwrap();
        writer.join().unwrap();
        assert!(read == answer, "{} of {} bytes", read.len(), answer.len());
    }
}

fn broken() {
    let lab = Lab::new();
    for is_guest_first in [true, false] {
        let (guest, world) = pair(&lab, 8080);
        let (first, mut second) = if is_guest_first { (guest, world) } else { (world, guest) };
        rustix::net::sockopt::set_socket_linger(&first, Some(Duration::ZERO)).unwrap();
        drop(first);
        let error = second.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{is_guest_first}");
    }
}

/// Sends both ways at once.
fn exchange(guest: &TcpStream, world: &TcpStream, length: usize) {
    let sent = bytes(length);
    std::thread::scope(|threads| {
        for mut stream in [guest, world] {
            let sent = &sent;
            threads.spawn(move || {
                stream.write_all(sent).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
            });
        }
        for mut stream in [guest, world] {
            let mut read = Vec::new();
            stream.read_to_end(&mut read).unwrap();
            assert!(read == sent, "{} of {} bytes, or others", read.len(), sent.len());
        }
    });
}

fn much() {
    let lab = Lab::new();
    let (guest, world) = pair(&lab, 8080);
    exchange(&guest, &world, 64 * MEGABYTE);
}

fn lossy() {
    let lab = Lab::with(Lines::Bad);
    let (guest, world) = pair(&lab, 8080);
    exchange(&guest, &world, 16 * MEGABYTE);
}

fn paused() {
    let lab = Lab::new();
    for is_guest_reading in [true, false] {
        let (guest, world) = pair(&lab, 8080);
        let (mut reader, mut writer) = if is_guest_reading { (guest, world) } else { (world, guest) };
        writer.set_nonblocking(true).unwrap();
        let sent = bytes(64 * MEGABYTE);
        let mut written = 0;
        // Until nothing more is taken, for long enough that all buffers are full.
        let mut silent_since = std::time::Instant::now();
        while silent_since.elapsed() < Duration::from_millis(500) {
            match writer.write(&sent[written..]) {
                Ok(count) => {
                    written += count;
                    silent_since = std::time::Instant::now();
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        assert!(written < sent.len(), "a reader that does not read takes everything");
        assert!(lab.resident_kib() < 24 * 1024, "{} KiB", lab.resident_kib());
        writer.set_nonblocking(false).unwrap();
        std::thread::scope(|threads| {
            threads.spawn(|| {
                writer.write_all(&sent[written..]).unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
            });
            let mut read = Vec::new();
            reader.read_to_end(&mut read).unwrap();
            assert!(read == sent, "{} of {} bytes, or others", read.len(), sent.len());
        });
    }
}

/// Sends a number by each of the connections, and then awaits each number by its own.
pub(crate) fn numbers_come_back(streams: &mut [TcpStream]) {
    for (number, stream) in streams.iter_mut().enumerate() {
        stream.write_all(&(number as u32).to_le_bytes()).unwrap();
    }
    for (number, stream) in streams.iter_mut().enumerate() {
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, (number as u32).to_le_bytes());
    }
}

/// The other side of [`numbers_come_back`].
pub(crate) fn give_numbers_back(streams: &mut [TcpStream]) {
    for stream in streams {
        let mut number = [0; 4];
        stream.read_exact(&mut number).unwrap();
        stream.write_all(&number).unwrap();
    }
}

fn thousand() {
    const COUNT: usize = 1000;
    let lab = Lab::new();
    raise_descriptor_limit();
    let listener = listen(&lab.world, 8080);
    let world = std::thread::spawn(move || {
        let mut streams: Vec<TcpStream> = (0..COUNT).map(|_| listener.accept().unwrap().0).collect();
        // All are there before the first is answered.
        give_numbers_back(&mut streams);
        streams
    });
    let mut streams: Vec<TcpStream> =
        (0..COUNT).map(|_| connect(&lab.guest, address(WORLD, 8080)).unwrap()).collect();
    numbers_come_back(&mut streams);
    // What a process has at rest, and some packets on their way for each connection: how many depends on who runs when.
    assert!(lab.resident_kib() < 8 * 1024 + 24 * COUNT as u64, "{} KiB", lab.resident_kib());
    drop((streams, world.join().unwrap()));
}

fn small() {
    let lab = Lab::new();
    lab.guest.ip("link set eth0 mtu 576");
    let listener = listen(&lab.world, 8080);
    let mut guest = lab.guest.run(|| {
        let socket =
            rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None)
                .unwrap();
        rustix::net::sockopt::set_socket_recv_buffer_size(&socket, 2048).unwrap();
        rustix::net::connect(&socket, &SocketAddr::from((WORLD.parse::<Ipv4Addr>().unwrap(), 8080))).unwrap();
        TcpStream::from(socket)
    });
    let (mut world, _) = listener.accept().unwrap();
    guest.set_read_timeout(Some(PATIENCE)).unwrap();
    guest.write_all(b"x").unwrap();
    world.read_exact(&mut [0]).unwrap();
    exchange(&guest, &world, MEGABYTE);
}
