//! Which VMMs there are.

use serde::{Deserialize, Serialize};

/// Which VMM runs a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VmmKind {
    /// QEMU's `microvm` machine.
    Qemu,
    /// Firecracker.
    Firecracker,
}

impl std::fmt::Display for VmmKind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Qemu => "QEMU",
            Self::Firecracker => "Firecracker",
        })
    }
}
