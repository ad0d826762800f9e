//! The host's side of a guest. [`AgentClient`] speaks the control protocol over a stream that is already connected to the
//! agent's control port; [`ExecSession`] is one command in the guest. Opening the stream (vsock, virtio-serial, the daemon's
//! channel route) is up to the caller.

mod client;
mod connection;
mod error;
mod exec;
mod tree;
mod vm_command;
mod words;

pub use client::AgentClient;
pub use error::{AgentError, BrokenCause};
pub use exec::{ExecEvent, ExecInput, ExecOutput, ExecSession, ExitOutcome, InputClosed};

pub use tree::TreeSource;
pub use vm_command::{CommandFeed, CommandNews, CommandPosition};

pub use banger_agent_proto as proto;
