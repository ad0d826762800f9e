//! Failures of a running VM's network.

use serde::{Deserialize, Serialize};

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
