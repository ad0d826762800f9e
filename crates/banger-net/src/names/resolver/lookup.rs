//! One question on its way through the host's servers.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use banger_model::egress::HostName;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

use super::super::frames::{Frames, framed};
use super::super::host_naming::ResolvConf;
use super::super::message::{Query, Transport, query_to_server, read_response};
use super::records::Found;
use super::step::Asker;

/// A question, and whoever waits for its answer.
#[derive(Debug)]
pub(super) struct Lookup {
    pub(super) waiting: Vec<(Asker, Query)>,
    pub(super) deadline: Instant,
    asked: HostName,
    kind: RecordType,
    /// Names by which it is asked; the first one is asked now. Never empty.
    candidates: Vec<HostName>,
    servers: Vec<SocketAddr>,
    timeout: Duration,
    tries_max: usize,
    uses_tcp: bool,
    /// Number of servers that have failed for the name of now.
    tries: usize,
    first_server: usize,
    /// What is said if no candidate has records: that of the first name that exists.
    absent: Option<Found>,
    sent: Sent,
}

/// The query of now.
#[derive(Debug)]
struct Sent {
    id: u16,
    transport: Transport,
    has_edns: bool,
    frames: Frames,
}

/// What becomes of a lookup.
pub(super) enum Next {
    /// The response is still to come.
    Wait,
    /// The next query is sent.
    Send,
    /// It is over.
    Finish(Box<Found>),
}

impl Lookup {
    pub(super) fn new(
        query: &Query,
        candidates: Vec<HostName>,
        first_server: usize,
        conf: &ResolvConf,
        now: Instant,
    ) -> Self {
        let transport = if conf.uses_tcp { Transport::Tcp } else { Transport::Udp };
        Self {
            waiting: Vec::new(),
            deadline: now,
            asked: query.name.clone(),
            kind: query.kind,
            candidates,
            servers: conf.servers.clone(),
            timeout: conf.timeout,
            tries_max: conf.servers.len() * conf.attempts,
            uses_tcp: conf.uses_tcp,
            tries: 0,
            first_server,
            absent: None,
            sent: Sent { id: 0, transport, has_edns: true, frames: Frames::default() },
        }
    }

    pub(super) fn is_for(&self, query: &Query) -> bool {
        self.asked == query.name && self.kind == query.kind
    }

    /// Returns what is sent now, and where.
    pub(super) fn send(&mut self, now: Instant) -> (SocketAddr, Transport, Vec<u8>) {
        self.deadline = now + self.timeout;
        self.sent.frames = Frames::default();
        let (id, message) = query_to_server(self.name(), self.kind, self.sent.has_edns);
        self.sent.id = id;
        let bytes = match self.sent.transport {
            Transport::Udp => message,
            // A query is never too long.
            Transport::Tcp => framed(&message).unwrap_or_default(),
        };
        (self.server(), self.sent.transport, bytes)
    }

    fn name(&self) -> &HostName {
        self.candidates.first().unwrap_or(&self.asked)
    }

    fn server(&self) -> SocketAddr {
        let place = self.first_server.wrapping_add(self.tries).checked_rem(self.servers.len()).unwrap_or(0);
        self.servers.get(place).copied().unwrap_or(SocketAddr::from(([127, 0, 0, 1], 53)))
    }

    /// Takes a datagram, or bytes of a stream.
    pub(super) fn receive(&mut self, bytes: &[u8]) -> Next {
        match self.sent.transport {
            Transport::Udp => self.take(bytes),
            Transport::Tcp => match self.sent.frames.push(bytes).first() {
                Some(message) => self.take(message),
                None => Next::Wait,
            },
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Next {
        let Some(message) = read_response(bytes, self.sent.id, self.name(), self.kind) else {
            // A datagram may be forged, so the right one is still waited for. A stream has no other.
            return match self.sent.transport {
                Transport::Udp => Next::Wait,
                Transport::Tcp => self.try_next_server(),
            };
        };
        if message.metadata.truncation && self.sent.transport == Transport::Udp {
            self.sent.transport = Transport::Tcp;
            return Next::Send;
        }
        match message.metadata.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => {
                let name = self.name().clone();
                self.take_found(Found::of_response(message, &self.asked, &name, self.kind))
            }
            // An old server that does not know EDNS.
            ResponseCode::FormErr | ResponseCode::NotImp if self.sent.has_edns => {
                self.sent.has_edns = false;
                Next::Send
            }
            _ => self.try_next_server(),
        }
    }

    fn take_found(&mut self, found: Found) -> Next {
        if found.has_records(self.kind) || self.candidates.len() <= 1 {
            let absent = self.absent.take().filter(|_| !found.has_records(self.kind));
            return Next::Finish(Box::new(absent.unwrap_or(found)));
        }
        if found.answer.code == ResponseCode::NoError {
            self.absent.get_or_insert(found);
        }
        self.candidates.remove(0);
        self.start_over();
        Next::Send
    }

    /// Goes on with the next server, or gives up after the last one.
    pub(super) fn try_next_server(&mut self) -> Next {
        self.tries += 1;
        let tries = self.tries;
        if tries >= self.tries_max {
            return Next::Finish(Box::new(Found::of_code(&self.asked, ResponseCode::ServFail)));
        }
        self.start_over();
        self.tries = tries;
        Next::Send
    }

    fn start_over(&mut self) {
        self.tries = 0;
        self.sent.transport = if self.uses_tcp { Transport::Tcp } else { Transport::Udp };
        self.sent.has_edns = true;
    }
}
