//! What the resolver and its caller say to each other.

use std::net::SocketAddr;
use std::time::Instant;

use banger_model::egress::{Attempted, EgressPolicy, HostFacts, Refusal};

use super::super::message::Transport;

/// Whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Asker {
    /// Somebody who sent a datagram.
    Datagram {
        /// Where it came from.
        guest: SocketAddr,
        /// Where it was sent to.
        server: SocketAddr,
    },
    /// Somebody who sent a message in a stream, which the caller knows by this number.
    Stream(u64),
}

/// One query to one server, with a socket of its own, so that only the server's responses reach it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Exchange(pub(super) u64);

/// What a decision follows from at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// The time.
    pub now: Instant,
    /// The guest's policy.
    pub policy: &'a EgressPolicy,
    /// What is known of the host.
    pub facts: &'a HostFacts,
}

/// What the caller does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send a message to whoever asked. In a stream it stands behind its length: [`crate::names::framed`].
    Answer {
        /// Who asked.
        asker: Asker,
        /// The message.
        message: Vec<u8>,
    },
    /// Open a socket to a server and send these bytes.
    Send {
        /// By which name its responses are passed to [`super::Resolver::receive`].
        exchange: Exchange,
        /// The server.
        server: SocketAddr,
        /// How it is asked.
        transport: Transport,
        /// All that is sent, for a stream with its length.
        bytes: Vec<u8>,
    },
    /// Close the socket.
    Close {
        /// Its name.
        exchange: Exchange,
    },
    /// Note that something was refused.
    Refused {
        /// What was tried.
        attempted: Attempted,
        /// Why it was refused.
        refusal: Refusal,
    },
}
