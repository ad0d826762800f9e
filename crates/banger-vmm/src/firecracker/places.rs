//! Where a Firecracker machine keeps its files and sockets, as the host sees them.

use std::path::{Path, PathBuf};

use banger_agent_proto::BELL_PORT;

use super::names::LOG_FILE;
use crate::contract::{MachineHandle, MachinePlan};
use crate::machine::{error_log, network_log};

/// Paths of one machine.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub(super) state: PathBuf,
    pub(super) runtime: PathBuf,
    /// The API.
    pub(super) control: PathBuf,
    /// The guest channel.
    pub(super) channel: PathBuf,
    /// Where the guest's agent rings.
    pub(super) bell: PathBuf,
    /// Where Firecracker asks for pages.
    pub(super) pager: PathBuf,
    /// What the guest writes to its console.
    pub(super) console_log: PathBuf,
    /// Standard error of the cell, of Firecracker in it, and of the pager.
    pub(super) error_log: PathBuf,
    /// Standard error of the network's process.
    pub(super) network_log: PathBuf,
    /// What Firecracker says.
    pub(super) vmm_log: PathBuf,
    /// What Firecracker counts.
    pub(super) metrics: PathBuf,
    /// Where Firecracker writes snapshots.
    pub(super) outbox: PathBuf,
}

impl Places {
    pub(super) fn of_plan(plan: &MachinePlan) -> Self {
        Self::new(&plan.state_directory, &plan.runtime_directory)
    }

    pub(super) fn of_handle(handle: &MachineHandle) -> Self {
        let parent = |path: &Path| path.parent().map(Path::to_owned).unwrap_or_default();
        Self::new(&parent(&handle.console_log), &parent(&handle.channel_socket))
    }

    fn new(state: &Path, runtime: &Path) -> Self {
        let channel = runtime.join("channel.sock");
        let console_log = state.join("console.log");
        Self {
            // Firecracker leads the guest's streams to the host to `<channel>_<port>`.
            bell: runtime.join(format!("channel.sock_{BELL_PORT}")),
            error_log: error_log(&console_log),
            network_log: network_log(&console_log),
            control: runtime.join("control.sock"),
            pager: runtime.join("pager.sock"),
            vmm_log: state.join(LOG_FILE),
            metrics: state.join("metrics"),
            outbox: state.join("outbox"),
            state: state.to_owned(),
            runtime: runtime.to_owned(),
            channel,
            console_log,
        }
    }

    /// What is removed with the machine.
    pub(super) fn sockets(&self) -> Vec<PathBuf> {
        vec![self.control.clone(), self.channel.clone(), self.bell.clone(), self.pager.clone()]
    }

    /// What goes with the machine, besides its sockets.
    pub(super) fn leftovers(&self) -> Vec<PathBuf> {
        let mut all = self.sockets();
        all.push(self.outbox.clone());
        all
    }
}
