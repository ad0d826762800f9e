//! What becomes of a frame of the guest.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use banger_model::egress::Protocol;

use super::allowance::{Allowance, Effort};
use super::datagrams::{self, Content, Datagrams, Ends};
use super::forwards::Forwards;
use super::fragments::Fragments;
use super::name_server::NameServer;
use super::neighbours;
use super::shared::Shared;
use super::slab::Id;
use super::tcp;
use crate::control::{Counters, Reply, Request, VERSION};
use crate::names::HostNaming;
use crate::reach::{Reach, Verdict};
use crate::user_network::subnet::{GATEWAY, GATEWAY_V6, NAME_SERVER, NAME_SERVER_V6, is_guests};
use crate::wire::ethernet::{self, EtherType};
use crate::wire::icmp::{self, Unreachable};
use crate::wire::ip::{self, Packet};
use crate::wire::tcp::{ACK, RST, SYN};
use crate::wire::{tcp as segments, udp};

pub(super) struct Switch {
    pub(super) shared: Shared,
    reach: Reach,
    flows: tcp::Flows,
    datagrams: Datagrams,
    forwards: Forwards,
    fragments: Fragments,
    refused_count: u64,
    allowance: Allowance,
    names: NameServer,
}

impl Switch {
    pub(super) fn new(
        shared: Shared,
        reach: Reach,
        naming: Box<dyn FnMut() -> Option<HostNaming>>,
        descriptors_max: usize,
    ) -> Self {
        let now = shared.now;
        Self {
            shared,
            reach,
            flows: tcp::Flows::new(descriptors_max),
            datagrams: Datagrams::new(),
            forwards: Forwards::new(),
            fragments: Fragments::default(),
            refused_count: 0,
            allowance: Allowance::new(now),
            names: NameServer::new(naming),
        }
    }

    /// Takes a frame of the guest. Returns until when its device is to be left alone, if it is.
    pub(super) fn take(&mut self, frame: &[u8]) -> Option<Instant> {
        let effort = self.switch(frame).unwrap_or(Effort::Vain);
        self.allowance.spend(effort, self.shared.now)
    }

    fn switch(&mut self, frame: &[u8]) -> Option<Effort> {
        let frame = ethernet::read(frame)?;
        self.shared.meet(frame.source);
        let packet = match frame.ether_type {
            EtherType::Arp => {
                neighbours::answer_arp(frame.payload, &mut self.shared);
                return None;
            }
            EtherType::Ipv4 => ip::read_v4(frame.payload)?,
            EtherType::Ipv6 => ip::read_v6(frame.payload)?,
        };
        match packet.fragment {
            None => self.take_packet(&packet),
            Some(_) if packet.protocol == ip::TCP => None,
            Some(_) => {
                let payload = self.fragments.take(&packet, self.shared.now)?;
                self.take_packet(&Packet { fragment: None, payload: &payload, ..packet })
            }
        }
    }

    fn take_packet(&mut self, packet: &Packet<'_>) -> Option<Effort> {
        if !is_guests(packet.source) {
            return self.take_from_elsewhere(packet);
        }
        match packet.protocol {
            ip::TCP => self.take_segment(packet),
            ip::UDP => self.take_datagram(packet),
            ip::ICMP if packet.source.is_ipv4() => self.take_echo(packet),
            ip::ICMPV6 if packet.source.is_ipv6() => {
                self.take_neighbour(packet).or_else(|| self.take_echo(packet))
            }
            _ => None,
        }
    }

    /// Takes a packet of a guest that has no address yet, or uses that of its link.
    fn take_from_elsewhere(&mut self, packet: &Packet<'_>) -> Option<Effort> {
        match packet.source {
            IpAddr::V4(source) if source.is_unspecified() && packet.protocol == ip::UDP => {
                let datagram = udp::read(packet.source, packet.destination, packet.payload)?;
                neighbours::answer_dhcp(datagram, &mut self.shared);
                None
            }
            IpAddr::V6(source) if source.is_unspecified() || source.is_unicast_link_local() => {
                self.take_neighbour(packet)
            }
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        }
    }

    fn take_neighbour(&mut self, packet: &Packet<'_>) -> Option<Effort> {
        let (IpAddr::V6(source), IpAddr::V6(destination)) = (packet.source, packet.destination) else {
            return None;
        };
        if packet.protocol != ip::ICMPV6 || packet.hop_limit != ip::HOP_LIMIT_MAX {
            return None;
        }
        let is_way_out = self.reach.has_way_out_v6();
        neighbours::answer_ndp(source, destination, packet.payload, is_way_out, &mut self.shared)?;
        Some(Effort::Vain)
    }

    fn take_segment(&mut self, packet: &Packet<'_>) -> Option<Effort> {
        let segment = segments::read(packet.source, packet.destination, packet.payload)?;
        let guest = SocketAddr::new(packet.source, segment.source_port);
        let remote = SocketAddr::new(packet.destination, segment.destination_port);
        let shared = &mut self.shared;
        if let Some(effort) = self.flows.take(guest, remote, &segment, shared) {
            return Some(effort);
        }
        if segment.flags & (SYN | ACK | RST) != SYN {
            if !is_for_many(remote.ip()) {
                tcp::reset(guest, remote, &segment, shared);
            }
            return None;
        }
        let to = match self.reach.decide(Protocol::Tcp, remote) {
            Verdict::Connect(to) => to,
            Verdict::NameServer => {
                let socket = self.names.open_stream(shared)?;
                self.flows.open_on(guest, remote, socket, &segment, shared);
                return Some(Effort::Opened);
            }
            Verdict::Refuse => {
                self.refused_count += 1;
                if !is_for_many(remote.ip()) {
                    tcp::prohibit(guest, remote, &segment, shared);
                }
                return None;
            }
        };
        self.flows.open(guest, remote, to, &segment, shared);
        Some(Effort::Opened)
    }

    fn take_datagram(&mut self, packet: &Packet<'_>) -> Option<Effort> {
        let datagram = udp::read(packet.source, packet.destination, packet.payload)?;
        if datagram.destination_port == crate::wire::dhcp::SERVER_PORT {
            neighbours::answer_dhcp(datagram, &mut self.shared);
            return None;
        }
        let (from, to) = (datagram.source_port, datagram.destination_port);
        if packet.destination == GATEWAY && self.forwards.answer(from, to, datagram.payload, self.shared.now)
        {
            return Some(Effort::Useful);
        }
        let ends = Ends {
            protocol: Protocol::Udp,
            guest: SocketAddr::new(packet.source, datagram.source_port),
            remote: SocketAddr::new(packet.destination, datagram.destination_port),
        };
        self.converse(ends, Content::Datagram(datagram.payload))
    }

    fn take_echo(&mut self, packet: &Packet<'_>) -> Option<Effort> {
        let echo = icmp::read_echo_request(packet.source, packet.destination, packet.payload)?;
        let (source, destination) = (packet.source, packet.destination);
        let neighbours: [IpAddr; 4] =
            [GATEWAY.into(), NAME_SERVER.into(), GATEWAY_V6.into(), NAME_SERVER_V6.into()];
        if neighbours.contains(&destination) {
            neighbours::answer_echo(source, destination, echo, &mut self.shared);
            return None;
        }
        let ends = Ends {
            protocol: Protocol::Icmp,
            guest: SocketAddr::new(source, echo.id),
            remote: SocketAddr::new(destination, 0),
        };
        self.converse(ends, Content::Echo(echo))
    }

    fn converse(&mut self, ends: Ends, content: Content<'_>) -> Option<Effort> {
        let shared = &mut self.shared;
        if let Some(effort) = self.datagrams.send(ends, content, shared) {
            return Some(effort);
        }
        let to = match self.reach.decide(ends.protocol, ends.remote) {
            Verdict::Connect(to) => to,
            Verdict::NameServer => {
                if let Content::Datagram(message) = content {
                    self.names.take_datagram(ends.guest, ends.remote, message, (&mut self.reach, shared));
                }
                // The resolver has a pace of its own.
                return Some(Effort::Vain);
            }
            Verdict::Refuse => {
                self.refused_count += 1;
                // Nobody is told of what was meant for many.
                if !is_for_many(ends.remote.ip()) {
                    datagrams::tell(ends, Unreachable::Prohibited, shared);
                }
                return None;
            }
        };
        self.datagrams.open(ends, to, content, shared);
        Some(Effort::Opened)
    }

    /// Something has changed at the socket of a connection.
    pub(super) fn flow_changed(&mut self, id: Id, has_ended: bool) {
        if self.flows.socket_changed(id, has_ended, &mut self.shared) {
            self.allowance.give_back();
        }
    }

    /// Begins a connection into the guest.
    #[cfg(fuzzing)]
    pub(super) fn call_for_a_test(&mut self, socket: std::os::fd::OwnedFd) {
        let [guest, remote] = [([10, 0, 2, 15], 80), ([10, 0, 2, 2], 40_000)].map(SocketAddr::from);
        self.flows.call(guest, remote, socket, &mut self.shared);
    }

    /// Something has changed at every socket.
    #[cfg(fuzzing)]
    pub(super) fn change_for_a_test(&mut self) {
        for id in self.flows.ids_for_a_test() {
            self.flow_changed(id, false);
        }
    }

    /// Somebody has come to a forwarded port.
    pub(super) fn forward_changed(&mut self, id: Id) {
        self.forwards.take(id, &mut self.flows, &mut self.shared);
    }

    /// Does what the daemon asks.
    pub(super) fn obey(&mut self, request: Request) -> Reply {
        match request {
            Request::Version => Reply::Version(VERSION),
            Request::AddForward(forward) => match self.forwards.add(forward, &self.shared) {
                Ok(forward) => Reply::Added(forward),
                Err(errno) => Reply::Refused(errno.raw_os_error()),
            },
            Request::RemoveForward(forward) if self.forwards.remove(forward) => Reply::Removed,
            Request::RemoveForward(_unknown) => Reply::Unknown,
            Request::ListForwards => Reply::Forwards(self.forwards.list()),
            Request::SetRules(rules) => {
                self.reach.set_rules(&rules);
                self.judge_again();
                Reply::RulesSet
            }
            Request::Counters => Reply::Counters(Counters {
                connections: count(self.flows.len()),
                conversations: count(self.datagrams.len()),
                refused: self.refused_count,
                buffer_bytes: count(self.shared.buffer_bytes()),
            }),
        }
    }

    /// A conversation has something to read.
    pub(super) fn conversation_changed(&mut self, id: Id) {
        if self.datagrams.receive(id, &mut self.shared) {
            self.allowance.give_back();
        }
    }

    /// Something has changed at a socket to a server of names.
    pub(super) fn question_changed(&mut self, id: Id) {
        self.names.question_changed(id, &mut self.reach, &mut self.shared);
    }

    /// A connection of the guest to its name server has something to read.
    pub(super) fn name_stream_changed(&mut self, id: Id) {
        self.names.stream_changed(id, &mut self.reach, &mut self.shared);
    }

    pub(super) fn look_at_names(&mut self) {
        self.names.look(&mut self.reach, &mut self.shared);
    }

    pub(super) fn look_at_name_stream(&mut self, id: Id) {
        self.names.look_at_stream(id, &self.shared);
    }

    pub(super) fn look_at_flow(&mut self, id: Id) {
        self.flows.look(id, &mut self.shared);
    }

    pub(super) fn look_at_conversation(&mut self, id: Id) {
        self.datagrams.look(id, &mut self.shared);
    }

    /// The device takes frames again.
    pub(super) fn device_is_free(&mut self) -> io::Result<()> {
        if self.shared.outlet().go_on()? {
            self.flows.go_on(&mut self.shared);
        }
        Ok(())
    }

    /// The work for some frames and events is done: acknowledges what has come, and goes on with what waited for memory.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.flows.acknowledge(&mut self.shared);
        if self.flows.has_waiting() && !self.shared.outlet().is_full() {
            self.flows.go_on(&mut self.shared);
        }
        self.shared.broken().map_or(Ok(()), Err)
    }

    /// Tells whether connections wait for memory, and for nothing else.
    pub(super) fn is_short_of_memory(&self) -> bool {
        self.flows.has_waiting() && !self.shared.is_device_full()
    }

    /// The host's addresses have changed: ends what is not allowed any more.
    pub(super) fn judge_again(&mut self) {
        let reach = &mut self.reach;
        let mut is_refused = |protocol, remote| reach.decide(protocol, remote) == Verdict::Refuse;
        let flows: Vec<Id> = self
            .flows
            .peers()
            .filter(|(_, remote)| is_refused(Protocol::Tcp, *remote))
            .map(|(id, _)| id)
            .collect();
        let conversations: Vec<Id> = self
            .datagrams
            .ends()
            .filter(|(_, ends)| is_refused(ends.protocol, ends.remote))
            .map(|(id, _)| id)
            .collect();
        for id in flows {
            self.flows.break_off(id, &mut self.shared);
        }
        for id in conversations {
            self.datagrams.forget(id);
        }
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn is_for_many(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.is_multicast() || address.is_broadcast() || address.octets() == [10, 0, 2, 255]
        }
        IpAddr::V6(address) => address.is_multicast(),
    }
}
