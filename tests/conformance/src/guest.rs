//! The suite's requirements for a guest.

use std::time::Duration;

use async_trait::async_trait;
use banger_vmm::Machine;
use tokio::net::UnixStream;

use crate::rig::Rig;

/// How long a guest may take until it answers on its channel.
pub const CHANNEL_DEADLINE: Duration = Duration::from_secs(120);

/// The behaviour of a guest in a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// It writes [`crate::LINE`] to its console. The rest of its behaviour does not matter.
    Run,
    /// It writes the line, and then nothing more; it never answers.
    Halt,
    /// It writes [`crate::LINE`] to its console and ends its machine.
    End,
    /// It writes a dot to its console again and again.
    Tick,
    /// For each drive it writes a line with the drive's first bytes, and whether the drive is writable.
    Drives,
    /// It echoes everything that it receives, on every stream.
    Echo,
}

/// A guest that the suite's machines run.
#[async_trait]
pub trait Guest: Send + Sync {
    /// Tells whether the guest supports this. Tests of unsupported behaviour are left out of the suite.
    fn can(&self, does: Does) -> bool;

    /// Makes the directories and the plan of a new VM.
    fn rig(&self, does: Does) -> Rig;

    /// Opens a stream to the guest that echoes everything.
    async fn echo(&self, machine: &dyn Machine) -> UnixStream;
}
