//! A VM's network: what it is attached to, how its guest reaches it, and how it fails.

use serde::{Deserialize, Serialize};

/// How a machine is attached to the process that carries its network. The attachment is a descriptor, which that process is
/// handed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkAttachment {
    /// A socket that carries Ethernet frames, each behind its length in four bytes, most significant first. The network lives
    /// as long as it is open.
    Stream,
    /// A tap, with a second descriptor (a pidfd) behind it: that of the machine's process. The network lives as long as that
    /// process.
    Tap,
}

/// How a guest reaches its network: handed to its agent by `identify`.
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
    /// Largest packet in bytes that the interface takes, where its device does not tell the guest.
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
