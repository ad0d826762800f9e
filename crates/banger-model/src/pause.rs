//! The reasons why a guest is paused without a request: the host's disk does not accept its writes.

use serde::{Deserialize, Serialize};

/// The reason why a running VM's guest is paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum PauseReason {
    /// The host's disk is full.
    HostDiskFull,
    /// The host's disk refuses writes for another reason: a quota, a disk that fails or has become read-only.
    HostDiskError,
}

impl PauseReason {
    /// Returns the reason as tables and events show it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HostDiskFull => "host disk full",
            Self::HostDiskError => "host disk error",
        }
    }
}

impl std::fmt::Display for PauseReason {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(self.as_str())
    }
}
