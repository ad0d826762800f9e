//! Frames as root of a guest makes them.

use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;

use crate::namespace::Namespace;

pub(crate) const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
pub(crate) const SYN: u8 = 2;
pub(crate) const ACK: u8 = 16;

/// The guest's device, to send frames by.
pub(crate) struct Device(OwnedFd);

impl Device {
    #[expect(unsafe_code, reason = "the address of a packet socket has no safe form")]
    pub(crate) fn of(guest: &Namespace) -> Self {
        use rustix::net::{AddressFamily, SocketType, netdevice::name_to_index, socket};
        use std::os::fd::AsRawFd as _;
        guest.run(|| {
            let socket = socket(AddressFamily::PACKET, SocketType::RAW, None).unwrap();
            let index = name_to_index(&socket, "eth0").unwrap();
            // SAFETY: all bytes zero is a valid address, and the call reads it.
            let result = unsafe {
                let mut address: libc::sockaddr_ll = std::mem::zeroed();
                address.sll_family = libc::AF_PACKET as u16;
                address.sll_ifindex = index as i32;
                let length = size_of::<libc::sockaddr_ll>() as u32;
                libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length)
            };
            assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
            Self(socket)
        })
    }

    /// Sends a frame. A device that is full is waited for.
    pub(crate) fn send(&self, frame: &[u8]) {
        use rustix::io::Errno;
        loop {
            match rustix::io::write(&self.0, frame) {
                Ok(_) => return,
                Err(Errno::NOBUFS | Errno::AGAIN) => std::thread::yield_now(),
                Err(errno) => panic!("{errno}"),
            }
        }
    }
}

fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let bytes = parts.concat();
    let mut sum: u32 =
        bytes.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

pub(crate) fn ethernet(kind: [u8; 2], payload: &[u8]) -> Vec<u8> {
    [&[0x52, 0x55, 0x0a, 0, 2, 2, 0x52, 0x54, 0, 1, 2, 3][..], &kind, payload].concat()
}

/// A packet with this identification, flags and offset.
pub(crate) fn piece(
    source: Ipv4Addr,
    to: Ipv4Addr,
    protocol: u8,
    (id, place): (u16, u16),
    payload: &[u8],
) -> Vec<u8> {
    let length = (payload.len() + 20) as u16;
    let mut header = vec![0x45, 0];
    header.extend(length.to_be_bytes());
    header.extend(id.to_be_bytes());
    header.extend(place.to_be_bytes());
    header.extend([64, protocol, 0, 0]);
    header.extend(source.octets());
    header.extend(to.octets());
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum);
    ethernet([8, 0], &[&header, payload].concat())
}

pub(crate) fn packet(source: Ipv4Addr, to: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    piece(source, to, protocol, (1, 0x4000), payload)
}

fn with_checksum(source: Ipv4Addr, to: Ipv4Addr, protocol: u8, mut payload: Vec<u8>, at: usize) -> Vec<u8> {
    let pseudo =
        [&source.octets()[..], &to.octets(), &[0, protocol], &(payload.len() as u16).to_be_bytes()].concat();
    let sum = checksum(&[&pseudo, &payload]);
    payload[at..at + 2].copy_from_slice(&sum);
    payload
}

/// A segment with these options, without data.
pub(crate) fn segment(
    source: Ipv4Addr,
    port: u16,
    to: (Ipv4Addr, u16),
    (flags, sequence): (u8, u32),
    options: &[u8],
) -> Vec<u8> {
    let mut bytes = port.to_be_bytes().to_vec();
    bytes.extend(to.1.to_be_bytes());
    bytes.extend(sequence.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend([((20 + options.len()) * 4) as u8, flags, 0xff, 0xff, 0, 0, 0, 0]);
    bytes.extend(options);
    packet(source, to.0, 6, &with_checksum(source, to.0, 6, bytes, 16))
}

pub(crate) fn datagram(source: Ipv4Addr, port: u16, to: (Ipv4Addr, u16), payload: &[u8]) -> Vec<u8> {
    packet(source, to.0, 17, &udp(source, port, to, payload))
}

/// A datagram without its packet's header.
pub(crate) fn udp(source: Ipv4Addr, port: u16, to: (Ipv4Addr, u16), payload: &[u8]) -> Vec<u8> {
    let mut bytes = port.to_be_bytes().to_vec();
    bytes.extend(to.1.to_be_bytes());
    bytes.extend(((payload.len() + 8) as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(payload);
    with_checksum(source, to.0, 17, bytes, 6)
}
