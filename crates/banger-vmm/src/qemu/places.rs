//! Where a QEMU machine keeps its files and sockets.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};

use banger_sys::files::remove_any;
use tokio::net::UnixListener;

use crate::contract::{MachineHandle, MachinePlan};
use crate::machine::error_log;

/// Longest path of a Unix socket: `sun_path` of `unix(7)` has 108 bytes with its end mark.
pub(super) const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Paths of one machine.
#[derive(Clone, Debug)]
pub(super) struct Places {
    /// QMP.
    pub(super) control: PathBuf,
    /// The guest channel, as callers see it.
    pub(super) channel: PathBuf,
    /// QEMU's end of the virtio-serial port.
    pub(super) pipe: PathBuf,
    /// What the guest writes to its console.
    pub(super) console_log: PathBuf,
    /// What QEMU, passt and the gate say.
    pub(super) error_log: PathBuf,
}

impl Places {
    pub(super) fn of_plan(plan: &MachinePlan) -> Self {
        Self {
            control: plan.runtime_directory.join("control.sock"),
            channel: plan.runtime_directory.join("channel.sock"),
            pipe: plan.runtime_directory.join("pipe.sock"),
            console_log: plan.state_directory.join("console.log"),
            error_log: error_log(&plan.state_directory.join("console.log")),
        }
    }

    pub(super) fn of_handle(handle: &MachineHandle) -> Self {
        Self {
            control: handle.control_socket.clone(),
            channel: handle.channel_socket.clone(),
            pipe: handle.channel_socket.with_file_name("pipe.sock"),
            console_log: handle.console_log.clone(),
            error_log: error_log(&handle.console_log),
        }
    }

    /// What is removed with the machine.
    pub(super) fn sockets(&self) -> Vec<PathBuf> {
        vec![self.control.clone(), self.channel.clone(), self.pipe.clone()]
    }

    /// Opens the channel socket for callers, in the place of an older one.
    pub(super) fn listen_for_callers(&self) -> io::Result<UnixListener> {
        let listener = listen(&self.channel)?;
        listener.set_nonblocking(true)?;
        UnixListener::from_std(listener)
    }
}

/// Opens a socket that only this user may use, in the place of an older one.
pub(super) fn listen(path: &Path) -> io::Result<StdListener> {
    remove_any(path)?;
    let listener = StdListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}
