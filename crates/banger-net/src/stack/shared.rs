//! What all conversations of the guest share: the way to it, the kernel's event queue, the timers, and what is left of the
//! memory.

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use rustix::event::epoll;

use super::link::{Outlet, Patience};
use super::source::Source;
use super::timers::Timers;
use crate::user_network::subnet::{GATEWAY, GATEWAY_MAC, GATEWAY_V6, MTU};
use crate::wire::ethernet::Mac;
use crate::wire::icmp::{Quoted, Unreachable, write_unreachable};
use crate::wire::ip::{self, Fragment, Header};
use crate::wire::tcp::{self, Segment};
use crate::wire::udp::{self, Datagram};

/// For bytes that wait for the guest or for a socket, of all connections together.
const BUFFER_BYTES_MAX: usize = 32 * 1024 * 1024;

pub(super) struct Shared {
    outlet: Outlet,
    epoll: OwnedFd,
    pub(super) timers: Timers,
    /// When the present event was taken.
    pub(super) now: Instant,
    guest_mac: Mac,
    buffer_bytes: usize,
    header: Vec<u8>,
    random: RandomState,
    random_count: u64,
    next_packet_id: u32,
    /// The device does not work any more.
    broken: Option<io::Error>,
}

impl Shared {
    pub(super) fn new(outlet: Outlet) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let shared = Self {
            outlet,
            epoll,
            timers: Timers::default(),
            now: Instant::now(),
            guest_mac: [0xff; 6],
            buffer_bytes: 0,
            header: Vec::new(),
            random: RandomState::new(),
            random_count: 0,
            next_packet_id: 0,
            broken: None,
        };
        shared.watch(&shared.outlet, Source::Link)?;
        Ok(shared)
    }

    pub(super) fn epoll(&self) -> &OwnedFd {
        &self.epoll
    }

    /// Hears of everything that changes at a descriptor, once each time.
    pub(super) fn watch(&self, descriptor: impl AsFd, source: Source) -> io::Result<()> {
        let flags =
            epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        epoll::add(&self.epoll, descriptor, epoll::EventData::new_u64(source.to_number()), flags)
            .map_err(io::Error::from)
    }

    /// Hears of a descriptor for as long as there is something to read.
    pub(super) fn watch_reading(&self, descriptor: impl AsFd, source: Source) -> io::Result<()> {
        let data = epoll::EventData::new_u64(source.to_number());
        epoll::add(&self.epoll, descriptor, data, epoll::EventFlags::IN).map_err(io::Error::from)
    }

    pub(super) fn outlet(&mut self) -> &mut Outlet {
        &mut self.outlet
    }

    pub(super) const fn is_device_full(&self) -> bool {
        self.outlet.is_full()
    }

    /// The guest's device has this address.
    pub(super) fn meet(&mut self, mac: Mac) {
        self.guest_mac = mac;
    }

    /// Returns why nothing can be sent any more.
    pub(super) fn broken(&mut self) -> Option<io::Error> {
        self.broken.take()
    }

    pub(super) fn random(&mut self) -> u64 {
        self.random_count = self.random_count.wrapping_add(1);
        if cfg!(fuzzing) {
            return self.random_count;
        }
        self.random.hash_one(self.random_count)
    }

    /// Accounts for memory of a buffer.
    pub(super) fn add_buffer(&mut self, bytes: usize) {
        self.buffer_bytes += bytes;
    }

    pub(super) fn release_buffer(&mut self, bytes: usize) {
        self.buffer_bytes = self.buffer_bytes.saturating_sub(bytes);
    }

    pub(super) const fn buffer_bytes(&self) -> usize {
        self.buffer_bytes
    }

    /// Returns how much memory is left for buffers.
    pub(super) fn buffer_room(&self) -> usize {
        BUFFER_BYTES_MAX.saturating_sub(self.buffer_bytes)
    }

    fn header(&self, source: IpAddr, destination: IpAddr, protocol: u8) -> Header {
        Header { source_mac: GATEWAY_MAC, destination_mac: self.guest_mac, source, destination, protocol }
    }

    /// Sends a segment to the guest. `false`: the device is full, and the segment stays with its sender.
    pub(super) fn send_segment(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        segment: &Segment<'_>,
        payload: [&[u8]; 2],
    ) -> bool {
        let header = self.header(from.ip(), to.ip(), ip::TCP);
        let segment = Segment { source_port: from.port(), destination_port: to.port(), ..*segment };
        let mut bytes = std::mem::take(&mut self.header);
        bytes.clear();
        tcp::write(&header, &segment, payload, &mut bytes);
        let has_data = payload.iter().any(|part| !part.is_empty());
        let sent = self.send(&bytes, payload, if has_data { Patience::Keeps } else { Patience::None });
        self.header = bytes;
        sent
    }

    /// Sends a datagram to the guest.
    pub(super) fn send_datagram(&mut self, from: SocketAddr, to: SocketAddr, payload: &[u8]) {
        let datagram = Datagram { source_port: from.port(), destination_port: to.port(), payload };
        let packet = udp::write(from.ip(), to.ip(), datagram);
        self.send_packet(from.ip(), to.ip(), ip::UDP, &packet);
    }

    /// Sends a packet to the guest, in pieces if it is long. It is lost if the device is full.
    pub(super) fn send_packet(&mut self, source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) {
        let header = self.header(source, destination, protocol);
        let header_bytes = if source.is_ipv4() { ip::IPV4_BYTES } else { ip::IPV6_BYTES };
        let mtu = usize::try_from(MTU).unwrap_or(usize::MAX);
        let mut bytes = Vec::new();
        if header_bytes + payload.len() <= mtu {
            header.write(payload.len(), &mut bytes);
            self.send(&bytes, [payload, &[]], Patience::None);
            return;
        }
        self.next_packet_id = self.next_packet_id.wrapping_add(1);
        let piece_bytes = (mtu - ip::IPV6_BYTES - 8) / 8 * 8;
        let mut offset = 0;
        for piece in payload.chunks(piece_bytes) {
            let is_last = offset + piece.len() == payload.len();
            bytes.clear();
            header.write_fragment(
                piece.len(),
                Fragment { id: self.next_packet_id, offset, is_last },
                &mut bytes,
            );
            self.send(&bytes, [piece, &[]], Patience::None);
            offset += piece.len();
        }
    }

    /// Sends a packet of neighbour discovery.
    pub(super) fn send_on_the_link(&mut self, source: IpAddr, destination: IpAddr, payload: &[u8]) {
        let mut bytes = Vec::new();
        self.header(source, destination, ip::ICMPV6).write_of_the_link(payload.len(), &mut bytes);
        self.send(&bytes, [payload, &[]], Patience::None);
    }

    /// Tells the guest that a packet of its went nowhere.
    pub(super) fn send_unreachable(&mut self, why: Unreachable, quoted: &Quoted) {
        let is_v4 = quoted.source.is_ipv4();
        let gateway: IpAddr = if is_v4 { GATEWAY.into() } else { GATEWAY_V6.into() };
        let message = write_unreachable(gateway, why, quoted);
        self.send_packet(gateway, quoted.source, if is_v4 { ip::ICMP } else { ip::ICMPV6 }, &message);
    }

    /// Sends a frame that is whole but for what is in `payload`.
    pub(super) fn send(&mut self, header: &[u8], payload: [&[u8]; 2], patience: Patience) -> bool {
        match self.outlet.send(header, payload, patience) {
            Ok(sent) => sent,
            Err(error) => {
                self.broken = Some(error);
                true
            }
        }
    }
}
