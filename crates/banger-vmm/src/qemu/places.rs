//! Where a QEMU machine keeps its files and sockets.

use std::path::PathBuf;

use crate::contract::{MachineHandle, MachinePlan};
use crate::machine::{error_log, network_log};

/// Name of the socket where QEMU waits for the machine's network.
pub(super) const NETWORK_SOCKET: &str = "network.sock";

/// Paths of one machine.
#[derive(Clone, Debug)]
pub(super) struct Places {
    /// QMP.
    pub(super) control: PathBuf,
    /// The guest channel, as callers see it.
    pub(super) channel: PathBuf,
    /// QEMU's end of the virtio-serial port.
    pub(super) pipe: PathBuf,
    /// Where QEMU waits for the machine's network.
    pub(super) network: PathBuf,
    /// What the guest writes to its console.
    pub(super) console_log: PathBuf,
    /// Standard error of QEMU.
    pub(super) error_log: PathBuf,
    /// Standard error of the network's process.
    pub(super) network_log: PathBuf,
}

impl Places {
    pub(super) fn of_plan(plan: &MachinePlan) -> Self {
        Self {
            control: plan.runtime_directory.join("control.sock"),
            channel: plan.runtime_directory.join("channel.sock"),
            pipe: plan.runtime_directory.join("pipe.sock"),
            network: plan.runtime_directory.join(NETWORK_SOCKET),
            console_log: plan.state_directory.join("console.log"),
            error_log: error_log(&plan.state_directory.join("console.log")),
            network_log: network_log(&plan.state_directory.join("console.log")),
        }
    }

    pub(super) fn of_handle(handle: &MachineHandle) -> Self {
        Self {
            control: handle.control_socket.clone(),
            channel: handle.channel_socket.clone(),
            pipe: handle.channel_socket.with_file_name("pipe.sock"),
            network: handle.channel_socket.with_file_name(NETWORK_SOCKET),
            console_log: handle.console_log.clone(),
            error_log: error_log(&handle.console_log),
            network_log: network_log(&handle.console_log),
        }
    }

    /// What is removed with the machine.
    pub(super) fn sockets(&self) -> Vec<PathBuf> {
        [&self.control, &self.channel, &self.pipe, &self.network].map(Clone::clone).into()
    }
}
