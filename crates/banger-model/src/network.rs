//! A VM's network: its attachment, the guest's settings, and its failures.

use serde::{Deserialize, Serialize};

/// How a machine is attached to its network process. The attachment is a descriptor that is passed to that process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkAttachment {
    /// A socket that carries Ethernet frames, each preceded by its length in four bytes, most significant first. The network
    /// lives as long as the socket is open.
    Stream,
    /// A tap, followed by a second descriptor: a pidfd of the machine's process. The network lives as long as that process.
    Tap,
}

/// The guest's network settings, passed to its agent by `identify`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestNetwork {
    /// Hardware address of the interface.
    pub mac: String,
    /// Address with prefix length.
    pub address: String,
    /// Default gateway.
    pub gateway: String,
    /// Name servers.
    pub dns_servers: Vec<String>,
    /// Largest packet in bytes that the interface accepts, if its device does not report this to the guest.
    pub mtu: Option<u32>,
}

/// The reason why a running VM has lost its network. The guest keeps running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum NetworkTrouble {
    /// The network process has ended and is being restarted.
    Restarting,
    /// The network process has ended and comes back only with the next start of the VM.
    Lost,
}

impl NetworkTrouble {
    /// Returns what happened and what comes next, as tables and events show it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Restarting => {
                "its process has ended and is started again; connections of the guest are broken"
            }
            Self::Lost => "its process has ended; a restart of the VM brings it back",
        }
    }
}

impl std::fmt::Display for NetworkTrouble {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(self.as_str())
    }
}
