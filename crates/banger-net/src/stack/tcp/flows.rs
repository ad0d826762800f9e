//! The guest's connections.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::io::Errno;

use super::super::allowance::Effort;
use super::super::shared::Shared;
use super::super::slab::{Id, Slab};
use super::super::sockets;
use super::super::source::Source;
use super::flow::{Ends, Flow, Over};
use crate::wire::icmp::{Quoted, Unreachable};
use crate::wire::ip;
use crate::wire::tcp::{ACK, FIN, Options, RST, SYN, Segment};

/// Connections at most, if the process may have so many descriptors.
const FLOWS_MAX: usize = 16 * 1024;
/// Of these, connections that nobody has answered yet.
const CONNECTING_MAX: usize = 2048;

pub(crate) struct Flows {
    known: Slab<Flow>,
    by_ends: HashMap<Ends, Id>,
    connecting_count: usize,
    count_max: usize,
    /// Those that wait for the device or for memory.
    waiting: VecDeque<Id>,
    /// Those that have something to acknowledge.
    due: Vec<Id>,
}

impl Flows {
    pub(crate) fn new(descriptors_max: usize) -> Self {
        Self {
            known: Slab::new(),
            by_ends: HashMap::new(),
            connecting_count: 0,
            count_max: FLOWS_MAX.min(descriptors_max),
            waiting: VecDeque::new(),
            due: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    #[cfg(fuzzing)]
    pub(crate) fn ids_for_a_test(&self) -> Vec<Id> {
        self.known.iter().map(|(id, _)| id).collect()
    }

    /// Returns whom the guest has connected to.
    pub(crate) fn peers(&self) -> impl Iterator<Item = (Id, SocketAddr)> {
        self.known.iter().filter(|(_, flow)| !flow.is_inward()).map(|(id, flow)| (id, flow.ends.remote))
    }

    /// Takes a segment of a connection that is known. `None`: it is not.
    pub(crate) fn take(
        &mut self,
        guest: SocketAddr,
        remote: SocketAddr,
        segment: &Segment<'_>,
        shared: &mut Shared,
    ) -> Option<Effort> {
        let id = *self.by_ends.get(&Ends { guest, remote })?;
        let mut effort = Effort::Vain;
        self.with(id, shared, |flow, shared| {
            if flow.take(segment, shared)? {
                effort = Effort::Useful;
            }
            Ok(())
        });
        Some(effort)
    }

    /// Connects the guest to where it wants to go.
    pub(crate) fn open(
        &mut self,
        guest: SocketAddr,
        remote: SocketAddr,
        to: SocketAddr,
        syn: &Segment<'_>,
        shared: &mut Shared,
    ) {
        // The guest tries again.
        if self.known.len() >= self.count_max || self.connecting_count >= CONNECTING_MAX {
            return;
        }
        let ends = Ends { guest, remote };
        match sockets::connect_tcp(to) {
            Ok(socket) => self.open_on(guest, remote, socket, syn, shared),
            Err(errno) => refuse(ends, syn.sequence, errno, shared),
        }
    }

    /// Connects the guest to what has a socket already.
    pub(crate) fn open_on(
        &mut self,
        guest: SocketAddr,
        remote: SocketAddr,
        socket: OwnedFd,
        syn: &Segment<'_>,
        shared: &mut Shared,
    ) {
        let flow = Flow::called_by_guest(Ends { guest, remote }, syn, socket, shared);
        if let Some(id) = self.insert(flow, shared) {
            self.connecting_count += 1;
            self.settle(id, shared);
        }
    }

    /// Connects somebody who is connected to us to the guest.
    pub(crate) fn call(
        &mut self,
        guest: SocketAddr,
        remote: SocketAddr,
        socket: OwnedFd,
        shared: &mut Shared,
    ) {
        let ends = Ends { guest, remote };
        if self.known.len() < self.count_max && !self.by_ends.contains_key(&ends) {
            let flow = Flow::calling_guest(ends, socket, shared);
            if let Some(id) = self.insert(flow, shared) {
                self.settle(id, shared);
            }
        }
    }

    /// Tells whether the guest has a connection to this address from this one.
    pub(crate) fn has(&self, guest: SocketAddr, remote: SocketAddr) -> bool {
        self.by_ends.contains_key(&Ends { guest, remote })
    }

    fn insert(&mut self, flow: Flow, shared: &Shared) -> Option<Id> {
        let ends = flow.ends;
        let id = self.known.insert_with(|_id| flow);
        let watched = self.known.get_mut(id).map(|flow| shared.watch(flow.socket(), Source::Tcp(id)));
        if let Some(Ok(())) = watched {
            self.by_ends.insert(ends, id);
            Some(id)
        } else {
            self.known.remove(id);
            None
        }
    }

    /// Something has changed at a connection's socket. Returns whether it has found its peer.
    pub(crate) fn socket_changed(&mut self, id: Id, has_ended: bool, shared: &mut Shared) -> bool {
        let Some(flow) = self.known.get_mut(id) else { return false };
        if !flow.is_connecting() {
            self.with(id, shared, |flow, shared| flow.socket_changed(has_ended, shared));
            return false;
        }
        match sockets::take_error(flow.socket()) {
            Ok(Ok(())) if sockets::is_connected(flow.socket()) => {
                self.connecting_count -= 1;
                self.with(id, shared, |flow, shared| {
                    flow.greet(shared);
                    flow.socket_changed(has_ended, shared)
                });
                return true;
            }
            Ok(Ok(())) => {}
            Ok(Err(errno)) => self.refuse(id, errno, shared),
            Err(_error) => self.refuse(id, Errno::CONNREFUSED, shared),
        }
        false
    }

    /// A connection could not be made.
    fn refuse(&mut self, id: Id, errno: Errno, shared: &mut Shared) {
        let Some(mut flow) = self.remove(id) else { return };
        match errno {
            Errno::CONNREFUSED | Errno::CONNRESET => flow.send_reset(shared),
            // The guest has waited as long.
            Errno::TIMEDOUT => {}
            _ => send_unreachable(flow.ends, flow.first_of_guest(), Unreachable::Host, shared),
        }
        flow.release(Over::Done, shared);
    }

    /// A deadline of a connection may have passed.
    pub(crate) fn look(&mut self, id: Id, shared: &mut Shared) {
        let Some(flow) = self.known.get_mut(id) else { return };
        if flow.alarm.rings(shared.now) {
            self.with(id, shared, Flow::look);
        }
    }

    /// The device or the memory may have room again.
    pub(crate) fn go_on(&mut self, shared: &mut Shared) {
        for _ in 0..self.waiting.len() {
            if shared.outlet().is_full() {
                return;
            }
            let Some(id) = self.waiting.pop_front() else { return };
            if let Some(flow) = self.known.get_mut(id) {
                flow.is_queued = false;
            }
            self.with(id, shared, Flow::pump);
        }
    }

    /// Tells whether connections wait for memory.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Acknowledges what has come since the last time.
    pub(crate) fn acknowledge(&mut self, shared: &mut Shared) {
        for id in std::mem::take(&mut self.due) {
            if let Some(flow) = self.known.get_mut(id) {
                flow.is_ack_queued = false;
                if flow.is_ack_due {
                    flow.send_ack(shared);
                }
            }
        }
    }

    /// Breaks a connection that is not allowed any more.
    pub(crate) fn break_off(&mut self, id: Id, shared: &mut Shared) {
        if let Some(mut flow) = self.remove(id) {
            flow.send_reset(shared);
            flow.release(Over::BrokenByGuest, shared);
        }
    }

    fn with(
        &mut self,
        id: Id,
        shared: &mut Shared,
        act: impl FnOnce(&mut Flow, &mut Shared) -> Result<(), Over>,
    ) {
        let Some(flow) = self.known.get_mut(id) else { return };
        match act(flow, shared) {
            Ok(()) if flow.is_done() => self.end(id, Over::Done, shared),
            Ok(()) => self.settle(id, shared),
            Err(over) => self.end(id, over, shared),
        }
    }

    /// Notes what a connection waits for.
    fn settle(&mut self, id: Id, shared: &mut Shared) {
        let Some(flow) = self.known.get_mut(id) else { return };
        flow.count_memory(shared);
        if flow.is_waiting && !std::mem::replace(&mut flow.is_queued, true) {
            self.waiting.push_back(id);
        }
        if flow.is_ack_due && !std::mem::replace(&mut flow.is_ack_queued, true) {
            self.due.push(id);
        }
        flow.alarm.set(flow.deadline(), Source::Tcp(id), &mut shared.timers);
    }

    fn end(&mut self, id: Id, over: Over, shared: &mut Shared) {
        let Some(mut flow) = self.remove(id) else { return };
        match over {
            Over::Done if flow.is_ack_due => flow.send_ack(shared),
            Over::Done | Over::BrokenByGuest => {}
            Over::BrokenByPeer => flow.send_reset(shared),
        }
        flow.release(over, shared);
    }

    fn remove(&mut self, id: Id) -> Option<Flow> {
        let flow = self.known.remove(id)?;
        self.by_ends.remove(&flow.ends);
        if flow.is_connecting() {
            self.connecting_count -= 1;
        }
        Some(flow)
    }
}

/// Answers a segment that belongs to nothing.
pub(crate) fn reset(guest: SocketAddr, remote: SocketAddr, segment: &Segment<'_>, shared: &mut Shared) {
    if segment.has(RST) {
        return;
    }
    let length = segment.payload.len() + usize::from(segment.has(SYN)) + usize::from(segment.has(FIN));
    let end = segment.sequence.wrapping_add(u32::try_from(length).unwrap_or_default());
    let (flags, sequence, acknowledgement) =
        if segment.has(ACK) { (RST, segment.acknowledgement, 0) } else { (RST | ACK, 0, end) };
    let answer = Segment {
        source_port: 0,
        destination_port: 0,
        sequence,
        acknowledgement,
        flags,
        window: 0,
        options: Options::default(),
        payload: &[],
    };
    shared.send_segment(remote, guest, &answer, [&[], &[]]);
}

/// Tells the guest that it may not go there.
pub(crate) fn prohibit(guest: SocketAddr, remote: SocketAddr, syn: &Segment<'_>, shared: &mut Shared) {
    send_unreachable(Ends { guest, remote }, syn.sequence, Unreachable::Prohibited, shared);
}

fn refuse(ends: Ends, sequence: u32, errno: Errno, shared: &mut Shared) {
    // Without descriptors or ports the guest tries again.
    if matches!(errno, Errno::NETUNREACH | Errno::HOSTUNREACH | Errno::ACCESS | Errno::PERM | Errno::INVAL) {
        send_unreachable(ends, sequence, Unreachable::Host, shared);
    }
}

fn send_unreachable(ends: Ends, sequence: u32, why: Unreachable, shared: &mut Shared) {
    let ports = u64::from(ends.guest.port()) << 48 | u64::from(ends.remote.port()) << 32;
    let quoted = Quoted {
        source: ends.guest.ip(),
        destination: ends.remote.ip(),
        protocol: ip::TCP,
        begin: (ports | u64::from(sequence)).to_be_bytes(),
    };
    shared.send_unreachable(why, &quoted);
}
