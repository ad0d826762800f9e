//! The guest's network, without the guest's trust: frames of its device come in, and ordinary sockets of this user go on.
//!
//! ```text
//! device ─ link ─ stack ┬ neighbours            ARP, NDP, DHCP, echoes of the gateway
//!                       ├ fragments ─ datagrams UDP and echoes: a connected socket for each conversation
//!                       ├ tcp                   a socket for each connection
//!                       ├ name_server           queries for names, answered as the host resolves them
//!                       └ forwards              ports of the host that lead into the guest
//! ```
//! Every connection is decided where it is made ([`crate::reach`]). One thread does all of it, woken by the kernel's events. A
//! frame costs the same however many connections there are.

mod allowance;
mod control;
mod datagrams;
mod event_loop;
mod forwards;
mod fragments;
mod frames;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod link;
mod name_server;
mod neighbours;
mod ring;
mod shared;
mod slab;
mod sockets;
mod source;
mod switch;
mod tcp;
mod timers;

pub(crate) use event_loop::{Parts, run};
pub(crate) use link::Attached;
