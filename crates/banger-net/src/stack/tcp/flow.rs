//! One connection of the guest: its two directions, and the socket that continues it.
//!
//! ```text
//! Connecting ─ the socket is connected ─▶ Greeted ─ the guest answers ─▶ Open      (the guest called)
//!                                         Calling ─ the guest answers ─▶ Open      (somebody called the guest)
//! ```
//! The guest's SYN is answered when the socket is connected, so that what is refused to us is refused to the guest.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::{Errno, readv, writev};
use rustix::net::{SendFlags, Shutdown, send, shutdown};

use super::super::ring::Ring;
use super::super::shared::Shared;
use super::super::sockets;
use super::super::timers::Alarm;
use super::receiver::{Brought, Receiver, SCALE, WINDOW_BYTES};
use super::sender::{Need, Piece, Sender};
use super::sequence::distance;
use crate::user_network::subnet::MTU;
use crate::wire::ip;
use crate::wire::tcp::{ACK, FIN, HEADER_BYTES, Options, PSH, RST, SYN, Segment};

/// Of a peer that announces no size.
const SEGMENT_BYTES_DEFAULT: u16 = 536;
/// What Linux takes for the least (`TCP_MIN_MSS`).
const SEGMENT_BYTES_MIN: u16 = 88;

const READ_BYTES_MIN: usize = 16 * 1024;
const READ_BYTES_MAX: usize = 256 * 1024;

/// How much a guest may send ahead when memory is short.
const SMALL_WINDOW_BYTES: usize = 64 * 1024;

const GREETING_PAUSE: Duration = Duration::from_secs(1);
const GREETINGS_MAX: u32 = 6;

/// A guest that has said nothing for so long is asked whether it still has the connection: it may have been restarted.
const IDLE_MAX: Duration = Duration::from_secs(2 * 60 * 60);
const ASK_PAUSE: Duration = Duration::from_secs(75);
const ASKED_MAX: u32 = 9;

/// Who talks to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ends {
    pub(super) guest: SocketAddr,
    pub(super) remote: SocketAddr,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Connecting,
    Greeted { tries: u32, retry_at: Instant },
    Calling { tries: u32, retry_at: Instant },
    Open,
}

/// A connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// Both sides know.
    Done,
    /// The guest broke it, or is gone: the peer is told.
    BrokenByGuest,
    /// The peer broke it: the guest is told.
    BrokenByPeer,
}

#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and all combinations occur")]
pub(super) struct Flow {
    pub(super) ends: Ends,
    pub(super) alarm: Alarm,
    socket: OwnedFd,
    phase: Phase,
    sender: Sender,
    receiver: Receiver,
    /// The number of our SYN.
    first: u32,
    /// Somebody called the guest.
    is_inward: bool,
    /// From the guest: what the socket has not taken yet.
    pending: Ring,
    /// Memory of both rings that is accounted for.
    counted_bytes: usize,
    is_readable: bool,
    has_hung_up: bool,
    is_shut: bool,
    /// Waits for the device or for memory.
    pub(super) is_waiting: bool,
    pub(super) is_queued: bool,
    pub(super) is_ack_due: bool,
    pub(super) is_ack_queued: bool,
    scale: Option<u8>,
    read_bytes: usize,
    heard_at: Instant,
    asked: u32,
}

impl Flow {
    /// Begins with the guest's SYN. The socket is being connected.
    pub(super) fn called_by_guest(
        ends: Ends,
        syn: &Segment<'_>,
        socket: OwnedFd,
        shared: &mut Shared,
    ) -> Self {
        let scale = syn.options.scale.map(|_theirs| SCALE);
        let receiver = Receiver::new(syn.sequence.wrapping_add(1), scale.unwrap_or_default());
        let mut flow = Self::new(ends, socket, receiver, shared);
        flow.scale = scale;
        flow.agree(syn);
        flow
    }

    /// Calls the guest for a socket that is connected.
    pub(super) fn calling_guest(ends: Ends, socket: OwnedFd, shared: &mut Shared) -> Self {
        let mut flow = Self::new(ends, socket, Receiver::new(0, 0), shared);
        flow.is_inward = true;
        flow.scale = Some(SCALE);
        flow.phase = Phase::Calling { tries: 0, retry_at: shared.now + GREETING_PAUSE };
        flow.send_syn(SYN, shared);
        flow
    }

    fn new(ends: Ends, socket: OwnedFd, receiver: Receiver, shared: &mut Shared) -> Self {
        let [a, b, c, d, ..] = shared.random().to_ne_bytes();
        let first = u32::from_ne_bytes([a, b, c, d]);
        Self {
            ends,
            alarm: Alarm::default(),
            socket,
            phase: Phase::Connecting,
            sender: Sender::new(first.wrapping_add(1), SEGMENT_BYTES_DEFAULT.into()),
            receiver,
            first,
            is_inward: false,
            pending: Ring::default(),
            counted_bytes: 0,
            is_readable: false,
            has_hung_up: false,
            is_shut: false,
            is_waiting: false,
            is_queued: false,
            is_ack_due: false,
            is_ack_queued: false,
            scale: None,
            read_bytes: READ_BYTES_MIN,
            heard_at: shared.now,
            asked: 0,
        }
    }

    /// Notes what the guest's SYN announces.
    fn agree(&mut self, syn: &Segment<'_>) {
        let size = syn.options.segment_bytes_max.unwrap_or(SEGMENT_BYTES_DEFAULT).max(SEGMENT_BYTES_MIN);
        let scale = self.scale.and(syn.options.scale).unwrap_or_default();
        self.sender.agree(syn.window, scale, size.min(segment_bytes_max(self.ends.guest)).into());
    }

    pub(super) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    pub(super) const fn is_inward(&self) -> bool {
        self.is_inward
    }

    pub(super) const fn is_connecting(&self) -> bool {
        matches!(self.phase, Phase::Connecting)
    }

    /// Returns the number of the guest's SYN.
    pub(super) const fn first_of_guest(&self) -> u32 {
        self.receiver.next().wrapping_sub(1)
    }

    /// Returns when to look again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Connecting => None,
            Phase::Greeted { retry_at, .. } | Phase::Calling { retry_at, .. } => Some(retry_at),
            Phase::Open => {
                Some(self.sender.deadline().unwrap_or(self.heard_at + IDLE_MAX + ASK_PAUSE * self.asked))
            }
        }
    }

    /// Something has changed at the socket. `has_ended`: its peer sends no more, or it has failed.
    pub(super) fn socket_changed(&mut self, has_ended: bool, shared: &mut Shared) -> Result<(), Over> {
        self.is_readable = true;
        self.has_hung_up |= has_ended;
        match self.phase {
            Phase::Connecting | Phase::Greeted { .. } | Phase::Calling { .. } => Ok(()),
            Phase::Open => {
                self.flush_pending()?;
                self.pump(shared)
            }
        }
    }

    /// The socket is connected.
    pub(super) fn greet(&mut self, shared: &mut Shared) {
        self.is_readable = true;
        self.phase = Phase::Greeted { tries: 0, retry_at: shared.now + GREETING_PAUSE };
        self.send_syn(SYN | ACK, shared);
    }

    /// Takes a segment of the guest, and tells whether it brought anything forward.
    pub(super) fn take(&mut self, segment: &Segment<'_>, shared: &mut Shared) -> Result<bool, Over> {
        self.heard_at = shared.now;
        self.asked = 0;
        match self.phase {
            Phase::Connecting if segment.has(RST) => Err(Over::BrokenByGuest),
            Phase::Connecting => Ok(false),
            Phase::Greeted { .. } => self.take_answer_to_greeting(segment, shared),
            Phase::Calling { .. } => self.take_answer_to_call(segment, shared),
            Phase::Open => self.take_in_order(segment, shared),
        }
    }

    fn take_answer_to_greeting(&mut self, segment: &Segment<'_>, shared: &mut Shared) -> Result<bool, Over> {
        if segment.has(RST) {
            return if self.receiver.is_next(segment.sequence) {
                Err(Over::BrokenByGuest)
            } else {
                Ok(false)
            };
        }
        if segment.has(SYN) {
            self.send_syn(SYN | ACK, shared);
            return Ok(false);
        }
        if !segment.has(ACK) || segment.acknowledgement != self.first.wrapping_add(1) {
            return Ok(false);
        }
        self.phase = Phase::Open;
        self.take_in_order(segment, shared).map(|_is_useful| true)
    }

    fn take_answer_to_call(&mut self, segment: &Segment<'_>, shared: &mut Shared) -> Result<bool, Over> {
        if !segment.has(ACK) || segment.acknowledgement != self.first.wrapping_add(1) {
            return Ok(false);
        }
        if segment.has(RST) {
            return Err(Over::BrokenByGuest);
        }
        if !segment.has(SYN) {
            return Ok(false);
        }
        self.scale = self.scale.and(segment.options.scale).map(|_theirs| SCALE);
        self.receiver = Receiver::new(segment.sequence.wrapping_add(1), self.scale.unwrap_or_default());
        self.agree(segment);
        self.phase = Phase::Open;
        self.is_ack_due = true;
        self.is_readable = true;
        self.pump(shared).map(|()| true)
    }

    fn take_in_order(&mut self, segment: &Segment<'_>, shared: &mut Shared) -> Result<bool, Over> {
        if segment.has(RST) {
            if self.receiver.is_next(segment.sequence) {
                return Err(Over::BrokenByGuest);
            }
            // Perhaps a guess: the guest repeats it with the right number (RFC 5961).
            self.is_ack_due |= distance(self.receiver.next(), segment.sequence) > 0;
            return Ok(false);
        }
        if segment.has(SYN) || !segment.has(ACK) {
            self.is_ack_due |= segment.has(SYN);
            return Ok(false);
        }
        let is_plain = segment.payload.is_empty() && !segment.has(FIN);
        let (is_news, need) =
            self.sender.acknowledge(segment.acknowledgement, segment.window, is_plain, shared.now);
        self.meet(need, shared)?;
        let is_new_data = self.take_data(segment, shared)?;
        if is_news {
            self.pump(shared)?;
        }
        self.count_memory(shared);
        Ok(is_news || is_new_data)
    }

    /// Takes what the segment brings, and tells whether that was anything new.
    fn take_data(&mut self, segment: &Segment<'_>, shared: &mut Shared) -> Result<bool, Over> {
        let is_empty = segment.payload.is_empty() && !segment.has(FIN);
        if is_empty {
            // It was asked whether we are still here, or has lost step.
            self.is_ack_due |= !self.receiver.is_next(segment.sequence);
            return Ok(false);
        }
        self.is_ack_due = true;
        match self.receiver.read(segment.sequence, segment.payload, segment.has(FIN)) {
            Some(brought) => self.deliver(brought, shared),
            None => Ok(false),
        }
    }

    fn deliver(&mut self, brought: Brought<'_>, shared: &Shared) -> Result<bool, Over> {
        let Brought { bytes, is_last } = brought;
        let mut taken = 0;
        if self.pending.is_empty() && !bytes.is_empty() {
            taken = match send(&self.socket, bytes, SendFlags::NOSIGNAL) {
                Ok(count) => count,
                Err(Errno::AGAIN | Errno::INTR | Errno::NOBUFS) => 0,
                Err(_broken) => return Err(Over::BrokenByPeer),
            };
        }
        let rest = bytes.get(taken..).unwrap_or_default();
        if !rest.is_empty() {
            grow(&mut self.pending, rest.len(), shared);
            taken += self.pending.push(rest);
        }
        let is_last = is_last && taken == bytes.len();
        self.receiver.take(taken, is_last);
        self.shut_if_all_is_sent()?;
        Ok(taken > 0 || is_last)
    }

    /// Writes what the socket had no room for.
    fn flush_pending(&mut self) -> Result<(), Over> {
        if self.pending.is_empty() {
            return Ok(());
        }
        while !self.pending.is_empty() {
            match writev(&self.socket, &self.pending.io_slices()) {
                Ok(count) => self.pending.consume(count),
                Err(Errno::AGAIN | Errno::NOBUFS) => break,
                Err(Errno::INTR) => {}
                Err(_broken) => return Err(Over::BrokenByPeer),
            }
        }
        self.is_ack_due |= self.pending.is_empty();
        self.shut_if_all_is_sent()
    }

    /// The guest sends no more, and the socket has it all: its peer is told.
    fn shut_if_all_is_sent(&mut self) -> Result<(), Over> {
        if !self.receiver.is_ended() || !self.pending.is_empty() || self.is_shut {
            return Ok(());
        }
        self.is_shut = true;
        match shutdown(&self.socket, Shutdown::Write) {
            // It has ended already, and its error is read next.
            Ok(()) | Err(Errno::NOTCONN) => Ok(()),
            Err(_broken) => Err(Over::BrokenByPeer),
        }
    }

    /// Tells whether both sides have everything.
    pub(super) fn is_done(&self) -> bool {
        self.sender.is_done() && self.is_shut
    }

    /// Carries to the guest what there is, as far as the guest, its device and the memory have room.
    pub(super) fn pump(&mut self, shared: &mut Shared) -> Result<(), Over> {
        if !matches!(self.phase, Phase::Open) {
            return Ok(());
        }
        self.is_waiting = false;
        loop {
            if !self.send_what_fits(shared) {
                self.is_waiting = true;
                break;
            }
            if !self.is_readable || !self.read_some(shared)? {
                break;
            }
        }
        self.sender.wait(shared.now);
        self.count_memory(shared);
        Ok(())
    }

    /// `false`: the device is full.
    fn send_what_fits(&mut self, shared: &mut Shared) -> bool {
        while let Some(piece) = self.sender.next_piece() {
            if !self.send_piece(piece, shared) {
                return false;
            }
            self.sender.sent(piece, shared.now);
        }
        true
    }

    /// Reads from the socket. `false`: there is nothing, or no room for it.
    fn read_some(&mut self, shared: &Shared) -> Result<bool, Over> {
        let wanted = self.sender.room().min(self.read_bytes);
        if wanted == 0 {
            return Ok(false);
        }
        let ring = &mut self.sender.ring;
        grow(ring, wanted, shared);
        let room = wanted.min(ring.room() - ring.len());
        if room == 0 {
            self.is_waiting = true;
            return Ok(false);
        }
        let socket = &self.socket;
        let count = ring.fill(room, |parts| readv(socket, parts).map_err(Into::into));
        match count.map_err(|error| error.raw_os_error().map(Errno::from_raw_os_error)) {
            Ok(0) => {
                self.is_readable = false;
                self.sender.end();
            }
            Ok(count) if count == room => self.read_bytes = (2 * room).clamp(READ_BYTES_MIN, READ_BYTES_MAX),
            // More would have come, unless the end or an error is behind it.
            Ok(_some) => self.is_readable = self.has_hung_up,
            Err(Some(Errno::AGAIN)) => self.is_readable = false,
            Err(Some(Errno::INTR)) => {}
            Err(_broken) => return Err(Over::BrokenByPeer),
        }
        if self.sender.ring.is_empty() {
            self.sender.ring.consume(0);
        }
        Ok(true)
    }

    /// Does what an acknowledgement or a timer asks for.
    fn meet(&mut self, need: Need, shared: &mut Shared) -> Result<(), Over> {
        match need {
            Need::Nothing => {}
            Need::Repeat(piece) => drop(self.send_piece(piece, shared)),
            Need::Probe => self.ask(shared),
            Need::GiveUp => return Err(Over::BrokenByGuest),
        }
        Ok(())
    }

    /// A deadline has passed.
    pub(super) fn look(&mut self, shared: &mut Shared) -> Result<(), Over> {
        let now = shared.now;
        if self.deadline().is_none_or(|deadline| deadline > now) {
            return Ok(());
        }
        match &mut self.phase {
            Phase::Connecting => {}
            Phase::Greeted { tries, retry_at } | Phase::Calling { tries, retry_at } => {
                *tries += 1;
                if *tries > GREETINGS_MAX {
                    return Err(Over::BrokenByGuest);
                }
                *retry_at = now + GREETING_PAUSE * (1 << *tries);
                let flags = if matches!(self.phase, Phase::Calling { .. }) { SYN } else { SYN | ACK };
                self.send_syn(flags, shared);
            }
            Phase::Open if self.sender.deadline().is_some() => {
                let need = self.sender.look(now);
                self.meet(need, shared)?;
            }
            Phase::Open => {
                self.asked += 1;
                if self.asked > ASKED_MAX {
                    return Err(Over::BrokenByGuest);
                }
                self.ask(shared);
            }
        }
        Ok(())
    }

    /// Makes the guest say what it has, and how much it takes.
    fn ask(&mut self, shared: &mut Shared) {
        let sequence = self.sender.probe();
        self.send(ACK, sequence, [&[], &[]], shared);
    }

    pub(super) fn send_ack(&mut self, shared: &mut Shared) {
        self.is_ack_due = false;
        let sequence = self.sender.next();
        self.send(ACK, sequence, [&[], &[]], shared);
    }

    /// Tells the guest that the connection is broken.
    pub(super) fn send_reset(&mut self, shared: &mut Shared) {
        let sequence = match self.phase {
            Phase::Connecting => 0,
            Phase::Greeted { .. } | Phase::Calling { .. } | Phase::Open => self.sender.next(),
        };
        self.send(RST | ACK, sequence, [&[], &[]], shared);
    }

    fn send_piece(&mut self, piece: Piece, shared: &mut Shared) -> bool {
        let push = if piece.is_pushed { PSH } else { 0 };
        let fin = if piece.is_last { FIN } else { 0 };
        let window = self.window(shared);
        let segment = self.segment(ACK | push | fin, piece.sequence, window);
        let payload = self.sender.ring.slices(piece.offset, piece.length);
        let is_sent = shared.send_segment(self.ends.remote, self.ends.guest, &segment, payload);
        if is_sent {
            self.is_ack_due = false;
        }
        is_sent
    }

    fn send(&mut self, flags: u8, sequence: u32, payload: [&[u8]; 2], shared: &mut Shared) {
        let window = self.window(shared);
        let segment = self.segment(flags, sequence, window);
        shared.send_segment(self.ends.remote, self.ends.guest, &segment, payload);
    }

    fn send_syn(&mut self, flags: u8, shared: &mut Shared) {
        let window = self.receiver.first_window();
        let options =
            Options { segment_bytes_max: Some(segment_bytes_max(self.ends.guest)), scale: self.scale };
        let segment = Segment { options, ..self.segment(flags, self.first, window) };
        shared.send_segment(self.ends.remote, self.ends.guest, &segment, [&[], &[]]);
    }

    fn segment(&self, flags: u8, sequence: u32, window: u16) -> Segment<'static> {
        Segment {
            source_port: 0,
            destination_port: 0,
            sequence,
            acknowledgement: self.receiver.next(),
            flags,
            window,
            options: Options::default(),
            payload: &[],
        }
    }

    fn window(&mut self, shared: &Shared) -> u16 {
        let room = if !self.pending.is_empty() {
            0
        } else if shared.buffer_room() < 16 * WINDOW_BYTES {
            SMALL_WINDOW_BYTES
        } else {
            WINDOW_BYTES
        };
        self.receiver.window(room)
    }

    /// Accounts for the memory of the buffers.
    pub(super) fn count_memory(&mut self, shared: &mut Shared) {
        let bytes = self.sender.ring.room() + self.pending.room();
        shared.release_buffer(self.counted_bytes);
        shared.add_buffer(bytes);
        self.counted_bytes = bytes;
    }

    /// The connection is over: what it had is given back.
    pub(super) fn release(self, over: Over, shared: &mut Shared) {
        shared.release_buffer(self.counted_bytes);
        if over == Over::BrokenByGuest {
            sockets::break_at_close(&self.socket);
        }
    }
}

/// Makes room for more bytes, if there is memory for it.
fn grow(ring: &mut Ring, more_bytes: usize, shared: &Shared) {
    let wanted = ring.len() + more_bytes;
    // Old and new are there at once for a moment.
    if wanted > ring.room() && wanted.next_power_of_two() <= shared.buffer_room() {
        ring.reserve(wanted);
    }
}

/// Returns the largest segment that fits into a packet to the guest.
fn segment_bytes_max(guest: SocketAddr) -> u16 {
    let header_bytes = if guest.is_ipv4() { ip::IPV4_BYTES } else { ip::IPV6_BYTES } + HEADER_BYTES;
    let mtu = usize::try_from(MTU).unwrap_or_default();
    u16::try_from(mtu - header_bytes).unwrap_or(u16::MAX)
}
