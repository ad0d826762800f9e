//! A socket of a running machine that somebody has removed.

use serde::{Deserialize, Serialize};

/// The socket of a running machine that was removed: what no longer works, and what creates the socket again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum LostSocket {
    /// The guest channel, at which the daemon listens.
    Channel,
    /// The guest channel, at which the VMM listens.
    VmmChannel,
    /// The VMM's end of the guest channel. The daemon keeps its connection; the next daemon gets none.
    Pipe,
    /// The VMM's control socket. The guest is not affected.
    Control,
}

impl LostSocket {
    /// Returns what was removed and what to do, as tables and events show it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Channel => {
                "the socket of the guest channel was removed; `banger daemon stop` helps: the next command creates it again"
            }
            Self::VmmChannel => {
                "the socket of the guest channel was removed; the guest cannot be reached until the VM is restarted"
            }
            Self::Pipe => {
                "the VMM's socket to the guest was removed; a new daemon cannot reach the guest until the VM is restarted"
            }
            Self::Control => {
                "the VMM's control socket was removed; pauses and figures are not seen until the VM is restarted"
            }
        }
    }
}

impl std::fmt::Display for LostSocket {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(self.as_str())
    }
}
