//! What is said. A newer daemon talks to networks of older versions, so words are added and never changed.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Version of these words.
pub const VERSION: u32 = 1;

/// The transport of a forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForwardProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A port of the host that leads into the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// Transport.
    pub protocol: ForwardProtocol,
    /// Address and port of the host. Port 0 is any free one.
    pub listen: SocketAddr,
    /// Port of the guest.
    pub guest_port: u16,
}

/// What the user has opened to the guest besides the world.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// The host's local networks are open.
    #[serde(default)]
    pub allow_lan: bool,
    /// Ports of the host's loopback that the guest reaches at the gateway's address.
    #[serde(default)]
    pub host_ports: Vec<u16>,
}

/// What the network is busy with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Connections of the guest, in both directions.
    pub connections: u64,
    /// Conversations without a connection.
    pub conversations: u64,
    /// Attempts that were refused since the network started.
    pub refused: u64,
    /// Bytes of buffers.
    pub buffer_bytes: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    Version,
    AddForward(Forward),
    RemoveForward(Forward),
    ListForwards,
    SetRules(Rules),
    Counters,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    Version(u32),
    /// The forward with the port that it got.
    Added(Forward),
    Removed,
    Forwards(Vec<Forward>),
    RulesSet,
    Counters(Counters),
    /// The kernel refused; its error number.
    Refused(i32),
    /// There is no such thing.
    Unknown,
    /// The request is none of ours.
    Bad,
}
