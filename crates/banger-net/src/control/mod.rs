//! How the daemon talks to a machine's network while it runs: one JSON document in each direction, each on a line, over a socket in
//! the machine's state directory that only its owner may use. The network does what it was told last, whether or not a daemon runs.

mod client;
mod message;

pub(crate) use client::place;
pub use client::{ControlError, NetworkControl};
pub use message::{Counters, Forward, ForwardProtocol, Rules, VERSION};
pub(crate) use message::{Reply, Request};
