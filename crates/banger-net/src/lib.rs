//! A VM's network without root: a process for each machine that carries the frames of its device, keeps its guest from the
//! host, and opens its connections as this user. The VMM drivers are on the other side of a socket and do not know it.

pub mod names;
mod network_gate;
pub mod role;
mod user_network;
#[allow(dead_code, reason = "the network process that reads and writes these packets comes next")]
mod wire;

pub use user_network::{LaunchError, PASST, UserNetwork, find_passt};
