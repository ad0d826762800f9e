//! A VM's network without root: a process for each machine that takes the frames of its device, keeps its guest from the
//! host, and opens its connections as this user. The VMM drivers are on the other side of a socket and do not know it.

pub mod control;
pub mod names;
mod process;
mod reach;
pub mod role;
mod stack;
mod user_network;
mod wire;

#[cfg(fuzzing)]
pub use stack::fuzzing::take_frames;
pub use user_network::{LaunchError, UserNetwork, check_host};
