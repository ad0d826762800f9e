//! Names for a guest: its queries are answered as the host resolves them, and the answers say which addresses a rule with a name
//! means. Nothing here has a socket or a clock; the network process drives it.

mod frames;
mod host_naming;
mod message;
mod name_table;
mod resolver;
pub mod sniff;

pub use frames::{Frames, framed};
pub use host_naming::{HostNaming, Hosts, ResolvConf, Sources};
pub use message::Transport;
pub use name_table::NameTable;
pub use resolver::{Asker, Exchange, Moment, Resolver, Step};
