//! What every client of the daemon does, whatever it shows to its user: it makes sure of a daemon, begins operations and
//! follows them through the end of a daemon, finds the VMs that are meant, and enters guests. Nothing here writes to a
//! terminal, and no error names a command to type: that is the user's interface.

mod absence;
mod absent_daemon;
mod action;
mod client;
pub mod copy;
mod ensure;
mod find;
mod guest;
mod operation;
mod pull;
mod removal;
mod resolve;
mod spawn;
mod ssh;
mod transport;

pub use absence::{absence, absent_since};
pub use absent_daemon::{EnsureError, nobody_listens};
pub use action::Action;
pub use client::{Client, ClientError};
pub use ensure::{OnKept, end, end_lost, end_silent, ensure};
pub use find::{Found, find, lost};
pub use guest::{CONNECT_DEADLINE, GuestError, enter, hello, start};
pub use operation::{
    Attempt, Ended, FollowError, Note, OnStop, ResultError, Stops, Undone, Watcher, cancel, follow, result,
};
pub use pull::Pull;
pub use removal::Removable;
pub use resolve::{Target, resolve};
pub use spawn::SpawnError;
pub use ssh::SshFiles;
pub use transport::{Connecting, Connection, Transport};

/// Version of this client; a daemon that is older is replaced.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
