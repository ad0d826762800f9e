//! The name server of the guest: carries its queries to the resolver, and the resolver's queries to the host's servers.
//!
//! A connection of the guest to it is a connection like any other, whose socket is one end of a pair; the other end is read here.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use banger_model::egress::{Protocol, RefusalLog};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};

use super::shared::Shared;
use super::slab::{Id, Slab};
use super::sockets;
use super::source::Source;
use super::timers::Alarm;
use crate::names::{Asker, Exchange, Frames, HostNaming, Moment, Resolver, Step, Transport, framed};
use crate::reach::Reach;

/// Connections of the guest at a time. Of more, the oldest is closed.
const STREAMS_MAX: usize = 64;
/// How long a connection may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Messages that are read before somebody else has a turn.
const READ_AT_ONCE: usize = 16;
const MESSAGE_BYTES_MAX: usize = 65_535;

pub(super) struct NameServer {
    resolver: Resolver,
    naming: Box<dyn FnMut() -> Option<HostNaming>>,
    questions: Slab<Question>,
    by_exchange: HashMap<Exchange, Id>,
    streams: Slab<Stream>,
    /// The oldest first; some have been closed already.
    opened: VecDeque<Id>,
    refusals: RefusalLog,
    alarm: Alarm,
    buffer: Vec<u8>,
}

/// A socket to a server of the host.
struct Question {
    exchange: Exchange,
    socket: OwnedFd,
    transport: Transport,
    unsent: Vec<u8>,
}

/// Our end of a connection of the guest.
struct Stream {
    socket: OwnedFd,
    frames: Frames,
    /// Number of messages that have no answer yet.
    unanswered: usize,
    /// The guest sends no more.
    has_ended: bool,
    alarm: Alarm,
}

impl NameServer {
    pub(super) fn new(naming: Box<dyn FnMut() -> Option<HostNaming>>) -> Self {
        Self {
            resolver: Resolver::default(),
            naming,
            questions: Slab::new(),
            by_exchange: HashMap::new(),
            streams: Slab::new(),
            opened: VecDeque::new(),
            refusals: RefusalLog::default(),
            alarm: Alarm::default(),
            buffer: Vec::new(),
        }
    }

    /// Takes a datagram of the guest.
    pub(super) fn take_datagram(
        &mut self,
        guest: SocketAddr,
        server: SocketAddr,
        message: &[u8],
        (reach, shared): (&mut Reach, &mut Shared),
    ) {
        self.renew();
        self.with(reach, shared, |resolver, moment| {
            resolver.ask(Asker::Datagram { guest, server }, Transport::Udp, message, moment);
        });
    }

    /// Returns the socket of a new connection of the guest.
    pub(super) fn open_stream(&mut self, shared: &mut Shared) -> Option<OwnedFd> {
        if self.streams.len() >= STREAMS_MAX {
            let oldest =
                std::iter::from_fn(|| self.opened.pop_front()).find_map(|id| self.streams.remove(id));
            drop(oldest);
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (ours, guests) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).ok()?;
        let id = self.streams.insert_with(|_id| Stream {
            socket: ours,
            frames: Frames::default(),
            unanswered: 0,
            has_ended: false,
            alarm: Alarm::default(),
        });
        let stream = self.streams.get_mut(id)?;
        stream.alarm.set(Some(shared.now + SILENCE_MAX), Source::NameStream(id), &mut shared.timers);
        if shared.watch(&stream.socket, Source::NameStream(id)).is_err() {
            self.streams.remove(id);
            return None;
        }
        self.opened.retain(|id| self.streams.get_mut(*id).is_some());
        self.opened.push_back(id);
        Some(guests)
    }

    /// A connection of the guest has something to read.
    pub(super) fn stream_changed(&mut self, id: Id, reach: &mut Reach, shared: &mut Shared) {
        self.renew();
        self.buffer.resize(MESSAGE_BYTES_MAX, 0);
        let Some(stream) = self.streams.get_mut(id) else { return };
        let messages = stream.read(&mut self.buffer);
        stream.alarm = Alarm::default();
        stream.alarm.set(Some(shared.now + SILENCE_MAX), Source::NameStream(id), &mut shared.timers);
        self.with(reach, shared, |resolver, moment| {
            let asker = Asker::Stream(Source::NameStream(id).to_number());
            for message in &messages {
                resolver.ask(asker, Transport::Tcp, message, moment);
            }
        });
        self.close_if_done(id);
    }

    fn close_if_done(&mut self, id: Id) {
        if self.streams.get_mut(id).is_some_and(|stream| stream.has_ended && stream.unanswered == 0) {
            self.streams.remove(id);
        }
    }

    /// A connection of the guest may have been silent for too long.
    pub(super) fn look_at_stream(&mut self, id: Id, shared: &Shared) {
        if self.streams.get_mut(id).is_some_and(|stream| stream.alarm.rings(shared.now)) {
            self.streams.remove(id);
        }
    }

    /// Something has changed at a socket to a server.
    pub(super) fn question_changed(&mut self, id: Id, reach: &mut Reach, shared: &mut Shared) {
        self.buffer.resize(MESSAGE_BYTES_MAX, 0);
        for _ in 0..READ_AT_ONCE {
            let Some(question) = self.questions.get_mut(id) else { return };
            let exchange = question.exchange;
            let came = match question.send() {
                Ok(()) => recv(&question.socket, &mut self.buffer, RecvFlags::empty()),
                Err(errno) => Err(errno),
            };
            match came {
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                Ok((_, 0)) if question.transport == Transport::Udp => {}
                Ok((_, length)) if length > 0 => {
                    let bytes = self.buffer.get(..length).unwrap_or_default().to_vec();
                    self.with(reach, shared, |resolver, moment| resolver.receive(exchange, &bytes, moment));
                }
                Ok(_) | Err(_) => {
                    self.with(reach, shared, |resolver, moment| resolver.fail(exchange, moment));
                    return;
                }
            }
        }
    }

    /// A server may have been waited for too long.
    pub(super) fn look(&mut self, reach: &mut Reach, shared: &mut Shared) {
        if self.alarm.rings(shared.now) {
            self.with(reach, shared, Resolver::tick);
        }
    }

    fn renew(&mut self) {
        if let Some(naming) = (self.naming)() {
            self.resolver.set_naming(naming);
        }
    }

    fn with(&mut self, reach: &mut Reach, shared: &mut Shared, act: impl FnOnce(&mut Resolver, &Moment<'_>)) {
        // While the host's addresses are unknown nobody knows which answers are closed, and there is none.
        let Some(moment) = reach.moment(shared.now) else { return };
        act(&mut self.resolver, &moment);
        while let Some(step) = self.resolver.step() {
            match step {
                Step::Answer { asker, message } => self.answer(asker, &message, shared),
                Step::Send { exchange, server, transport, bytes } => {
                    if self.ask_server(exchange, server, (transport, bytes), shared).is_err() {
                        self.resolver.fail(exchange, &moment);
                    }
                }
                Step::Close { exchange } => {
                    if let Some(id) = self.by_exchange.remove(&exchange) {
                        self.questions.remove(id);
                    }
                }
                Step::Refused { attempted, refusal } => {
                    let text = format!("{attempted}: {refusal}");
                    let is_new = self.refusals.note(attempted, refusal, 0);
                    if is_new && self.refusals.forgotten() == 0 {
                        eprintln!("refused: {text}");
                    }
                }
            }
        }
        self.alarm.set(self.resolver.deadline(), Source::Names, &mut shared.timers);
    }

    fn answer(&mut self, asker: Asker, message: &[u8], shared: &mut Shared) {
        match asker {
            Asker::Datagram { guest, server } => shared.send_datagram(server, guest, message),
            Asker::Stream(number) => {
                let Some(Source::NameStream(id)) = Source::of_number(number) else { return };
                let Some(stream) = self.streams.get_mut(id) else { return };
                let bytes = framed(message).unwrap_or_default();
                stream.unanswered = stream.unanswered.saturating_sub(1);
                // A guest that does not read its answers gets no more of them.
                if send(&stream.socket, &bytes, SendFlags::NOSIGNAL) != Ok(bytes.len()) {
                    self.streams.remove(id);
                }
                self.close_if_done(id);
            }
        }
    }

    fn ask_server(
        &mut self,
        exchange: Exchange,
        server: SocketAddr,
        (transport, unsent): (Transport, Vec<u8>),
        shared: &Shared,
    ) -> Result<(), Errno> {
        let socket = match transport {
            Transport::Udp => sockets::open_datagrams(Protocol::Udp, server)?,
            Transport::Tcp => sockets::connect_tcp(server)?,
        };
        let id = self.questions.insert_with(|_id| Question { exchange, socket, transport, unsent });
        self.by_exchange.insert(exchange, id);
        let Some(question) = self.questions.get_mut(id) else { return Ok(()) };
        let watched = shared.watch(&question.socket, Source::Question(id));
        watched.map_err(|error| error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error))?;
        question.send()
    }
}

impl Stream {
    /// Reads all that is there, which is no more than the pair of sockets holds.
    fn read(&mut self, buffer: &mut [u8]) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        loop {
            match recv(&self.socket, &mut *buffer, RecvFlags::empty()) {
                Ok((_, length)) if length > 0 => {
                    messages.extend(self.frames.push(buffer.get(..length).unwrap_or_default()));
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Ok(_) | Err(_) => {
                    self.has_ended = true;
                    break;
                }
            }
        }
        self.unanswered += messages.len();
        messages
    }
}

impl Question {
    /// Sends what is left, as far as the socket takes it.
    fn send(&mut self) -> Result<(), Errno> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        match send(&self.socket, &self.unsent, SendFlags::NOSIGNAL) {
            Ok(count) => {
                self.unsent.drain(..count.min(self.unsent.len()));
                Ok(())
            }
            // It is being connected.
            Err(Errno::AGAIN | Errno::NOTCONN | Errno::INTR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}
