//! The program inside the guest.
//!
//! It is the first process of the initramfs ([`boot`]): it assembles the root from the drives, starts itself again as the
//! [`agent`] and becomes the image's init. The agent serves the host over the [`channel`]: one port for control (gRPC), one
//! for raw streams. As a [`test_guest`] it simulates a guest on an ordinary machine.

pub mod agent;
pub mod boot;
pub mod channel;
mod console;
mod control;
mod exec;
mod files;
mod identity;
pub mod invocation;
mod listeners;
mod os;
mod respawn;
mod rooted;
pub mod standard_streams;
mod stats;
mod stream_port;
pub mod test_guest;
mod way_out;
