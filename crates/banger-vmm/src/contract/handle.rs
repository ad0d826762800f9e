//! How a machine is found again.

use std::path::PathBuf;

use banger_model::VmId;
use banger_sys::process::ProcessIdentity;
use serde::{Deserialize, Serialize};

use super::VmmKind;

/// What is needed to find a machine again: written by the driver as `machine.json` in the state directory, before the
/// machine may do anything, and kept in the format of this version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineHandle {
    /// Format of this file.
    pub format_version: u32,
    /// Whose machine it is.
    pub vm: VmId,
    /// Which driver started it.
    pub vmm: VmmKind,
    /// The VMM's process.
    pub process: MachineProcess,
    /// Helper processes that live and die with it (a user-mode network stack).
    pub companions: Vec<MachineProcess>,
    /// Socket of the VMM's control protocol (QMP, HTTP).
    pub control_socket: PathBuf,
    /// Socket of the guest channel as the rest of the product sees it.
    pub channel_socket: PathBuf,
    /// Console log.
    pub console_log: PathBuf,
    /// The chroot of a jailed VMM, which goes with the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jail: Option<PathBuf>,
    /// The companion without which the guest stands still: the process that hands over its memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pager: Option<MachineProcess>,
}

/// A process with its identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineProcess {
    /// Process id.
    pub pid: u32,
    /// Start time in clock ticks since the host's boot.
    pub start_ticks: u64,
}

impl From<MachineProcess> for ProcessIdentity {
    fn from(process: MachineProcess) -> Self {
        Self { pid: process.pid, start_ticks: process.start_ticks }
    }
}

impl From<ProcessIdentity> for MachineProcess {
    fn from(identity: ProcessIdentity) -> Self {
        Self { pid: identity.pid, start_ticks: identity.start_ticks }
    }
}
