//! What the suite wants of a guest.

use std::time::Duration;

use async_trait::async_trait;
use banger_vmm::Machine;
use tokio::net::UnixStream;

use crate::rig::Rig;

/// How long a guest may take until it answers on its channel.
pub const CHANNEL_DEADLINE: Duration = Duration::from_secs(120);

/// What a guest does in a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// It writes the line of [`crate::LINE`] to its console. What else it does does not matter.
    Run,
    /// It writes the line, and then nothing: nobody in it answers.
    Halt,
    /// It writes the line of [`crate::LINE`] to its console and ends its machine.
    End,
    /// It writes a dot to its console again and again.
    Tick,
    /// For each drive it writes a line with its first bytes, and whether it could be written.
    Drives,
    /// It sends back what comes, on every stream.
    Echo,
}

/// A guest that machines of the suite run.
#[async_trait]
pub trait Guest: Send + Sync {
    /// Tells whether it can do this. What it cannot is left out of the suite.
    fn can(&self, does: Does) -> bool;

    /// Makes the places and the plan of a new VM.
    fn rig(&self, does: Does) -> Rig;

    /// Opens a stream to the guest that sends back what comes.
    async fn echo(&self, machine: &dyn Machine) -> UnixStream;
}
