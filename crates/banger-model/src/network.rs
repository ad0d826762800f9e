//! What can be wrong with the network of a running VM.

use serde::{Deserialize, Serialize};

/// Why a running VM has no network, although it was started with one. Its guest runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum NetworkTrouble {
    /// The process that carries it has ended, and is being started again.
    Restarting,
    /// The process that carries it has ended, and comes back with the next start of the VM only.
    Lost,
}

impl NetworkTrouble {
    /// Says what has happened and what becomes of it, as tables and events show it.
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
