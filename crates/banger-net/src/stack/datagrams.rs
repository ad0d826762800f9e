//! Conversations without a connection: UDP, and echoes. Each has a socket of its own that is connected to its peer, so the kernel
//! chooses a free port of the host, and hears from that peer only: a guest takes no port from a program of the host, and hears
//! nothing that programs of the host send to each other.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use banger_model::egress::Protocol;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::allowance::Effort;
use super::neighbours::answer_echo;
use super::shared::Shared;
use super::slab::{Id, Slab};
use super::sockets;
use super::source::Source;
use super::timers::Alarm;
use crate::wire::icmp::{self, Echo, Quoted, Unreachable};
use crate::wire::ip;

/// Conversations at most. Of more, those that were silent longest are forgotten, many at once: to look for one each time would
/// be a way to keep a core busy.
const COUNT_MAX: usize = 1024;
const FORGOTTEN_AT_ONCE: usize = COUNT_MAX / 8;

/// How long an answer may take.
const AGE_MAX: Duration = Duration::from_secs(180);
/// Echoes, and what is asked of a port of the host, are answered earlier.
const SHORT_AGE_MAX: Duration = Duration::from_secs(30);

/// Datagrams that are read before somebody else has a turn.
const READ_AT_ONCE: usize = 64;
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// Who talks to whom. The port of an echo is its number; its peer has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ends {
    pub(super) protocol: Protocol,
    pub(super) guest: SocketAddr,
    pub(super) remote: SocketAddr,
}

/// What a guest sends.
#[derive(Clone, Copy)]
pub(super) enum Content<'packet> {
    Datagram(&'packet [u8]),
    Echo(Echo<'packet>),
}

struct Conversation {
    ends: Ends,
    socket: OwnedFd,
    used_at: Instant,
    age_max: Duration,
    is_answered: bool,
    alarm: Alarm,
}

pub(super) struct Datagrams {
    conversations: Slab<Conversation>,
    by_ends: HashMap<Ends, Id>,
    buffer: Vec<u8>,
}

impl Datagrams {
    pub(super) fn new() -> Self {
        let buffer = vec![0; DATAGRAM_BYTES_MAX];
        Self { conversations: Slab::new(), by_ends: HashMap::new(), buffer }
    }

    pub(super) fn len(&self) -> usize {
        self.conversations.len()
    }

    /// Returns who talks to whom.
    pub(super) fn ends(&self) -> impl Iterator<Item = (Id, Ends)> {
        self.conversations.iter().map(|(id, conversation)| (id, conversation.ends))
    }

    /// Sends in a conversation that is known. `None`: it is not.
    pub(super) fn send(&mut self, ends: Ends, content: Content<'_>, shared: &mut Shared) -> Option<Effort> {
        let id = *self.by_ends.get(&ends)?;
        let conversation = self.conversations.get_mut(id)?;
        conversation.used_at = shared.now;
        conversation.send(content, shared);
        Some(if conversation.is_answered { Effort::Useful } else { Effort::Vain })
    }

    /// Begins a conversation.
    pub(super) fn open(&mut self, ends: Ends, to: SocketAddr, content: Content<'_>, shared: &mut Shared) {
        if self.conversations.len() >= COUNT_MAX {
            self.forget_oldest();
        }
        let socket = match sockets::open_datagrams(ends.protocol, to) {
            Ok(socket) => socket,
            Err(Errno::NETUNREACH | Errno::HOSTUNREACH | Errno::ACCESS) if ends.protocol == Protocol::Udp => {
                tell(ends, Unreachable::Host, shared);
                return;
            }
            // Echoes may be forbidden to this user; without descriptors the datagram is lost.
            Err(_errno) => return,
        };
        let age_max =
            if to == ends.remote && ends.protocol == Protocol::Udp { AGE_MAX } else { SHORT_AGE_MAX };
        let (used_at, alarm) = (shared.now, Alarm::default());
        let id = self.conversations.insert_with(|_id| Conversation {
            ends,
            socket,
            used_at,
            age_max,
            is_answered: false,
            alarm,
        });
        let Some(conversation) = self.conversations.get_mut(id) else { return };
        if shared.watch_reading(&conversation.socket, Source::Datagrams(id)).is_err() {
            self.conversations.remove(id);
            return;
        }
        self.by_ends.insert(ends, id);
        conversation.send(content, shared);
        conversation.alarm.set(Some(used_at + age_max), Source::Datagrams(id), &mut shared.timers);
    }

    /// Carries what has come to the guest. Returns whether it is the first answer.
    pub(super) fn receive(&mut self, id: Id, shared: &mut Shared) -> bool {
        let Some(conversation) = self.conversations.get_mut(id) else { return false };
        let was_answered = conversation.is_answered;
        for _ in 0..READ_AT_ONCE {
            match recv(&conversation.socket, &mut self.buffer, RecvFlags::empty()) {
                Ok((_, length)) => {
                    conversation.used_at = shared.now;
                    conversation.is_answered = true;
                    conversation.answer(self.buffer.get(..length).unwrap_or_default(), shared);
                }
                Err(Errno::INTR) => {}
                Err(Errno::CONNREFUSED) => tell(conversation.ends, Unreachable::Port, shared),
                Err(Errno::HOSTUNREACH | Errno::NETUNREACH) => {
                    tell(conversation.ends, Unreachable::Host, shared);
                }
                Err(_none) => break,
            }
        }
        conversation.is_answered && !was_answered
    }

    /// A conversation may have been silent for too long.
    pub(super) fn look(&mut self, id: Id, shared: &mut Shared) {
        let Some(conversation) = self.conversations.get_mut(id) else { return };
        if !conversation.alarm.rings(shared.now) {
            return;
        }
        let ends_at = conversation.used_at + conversation.age_max;
        if ends_at <= shared.now {
            self.forget(id);
        } else {
            conversation.alarm.set(Some(ends_at), Source::Datagrams(id), &mut shared.timers);
        }
    }

    pub(super) fn forget(&mut self, id: Id) {
        if let Some(conversation) = self.conversations.remove(id) {
            self.by_ends.remove(&conversation.ends);
        }
    }

    fn forget_oldest(&mut self) {
        let mut uses: Vec<(Instant, Id)> =
            self.conversations.iter().map(|(id, conversation)| (conversation.used_at, id)).collect();
        uses.sort_unstable();
        for (_, id) in uses.into_iter().take(FORGOTTEN_AT_ONCE) {
            self.forget(id);
        }
    }
}

impl Conversation {
    fn send(&self, content: Content<'_>, shared: &mut Shared) {
        match content {
            Content::Datagram(bytes) => self.send_bytes(bytes, shared),
            Content::Echo(echo) => {
                let is_v4 = self.ends.remote.is_ipv4();
                let [request, _reply] = icmp::echo_types(is_v4);
                // The kernel puts a number of its own into it.
                let (from, to) = (self.ends.guest.ip(), self.ends.remote.ip());
                self.send_bytes(&icmp::write_echo(request, from, to, echo), shared);
            }
        }
    }

    fn send_bytes(&self, bytes: &[u8], shared: &mut Shared) {
        // An error of an earlier datagram is told first.
        for _ in 0..2 {
            match send(&self.socket, bytes, SendFlags::NOSIGNAL) {
                Err(Errno::CONNREFUSED) => tell(self.ends, Unreachable::Port, shared),
                Err(Errno::HOSTUNREACH | Errno::NETUNREACH) => tell(self.ends, Unreachable::Host, shared),
                // What the kernel does not take is lost, as on any network.
                Ok(_) | Err(_) => return,
            }
        }
    }

    fn answer(&self, bytes: &[u8], shared: &mut Shared) {
        let Ends { protocol, guest, remote } = self.ends;
        match protocol {
            Protocol::Udp | Protocol::Tcp => shared.send_datagram(remote, guest, bytes),
            Protocol::Icmp => {
                let [_request, reply] = icmp::echo_types(remote.is_ipv4());
                let Some(echo) = icmp::read_echo(reply, bytes) else { return };
                answer_echo(guest.ip(), remote.ip(), Echo { id: guest.port(), ..echo }, shared);
            }
        }
    }
}

/// Tells the guest that a datagram went nowhere.
pub(super) fn tell(ends: Ends, why: Unreachable, shared: &mut Shared) {
    let Ends { protocol, guest, remote } = ends;
    if protocol != Protocol::Udp {
        return;
    }
    let [a, b] = guest.port().to_be_bytes();
    let [c, d] = remote.port().to_be_bytes();
    let begin = [a, b, c, d, 0, 8, 0, 0];
    let quoted = Quoted { source: guest.ip(), destination: remote.ip(), protocol: ip::UDP, begin };
    shared.send_unreachable(why, &quoted);
}
