//! A machine's network without root: one process beside the VMM ([`crate::process`]) that has its end of a socket
//! pair, so it ends with the VMM, or with us if the VMM never starts.

pub(crate) mod sockets;
pub(crate) mod subnet;

use std::fs::File;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use banger_model::{GuestNetwork, NetworkAttachment};
use banger_sys::launch::{Inherited, Launch, Started, launch};
use banger_sys::socket::listen;

use crate::control::{Rules, place};
use crate::process::{ARGUMENT, word};
use crate::reach::HostAddresses;
use sockets::pair;
use subnet::MTU;

/// Why the network of a machine did not start.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The host's own addresses, which are closed to a guest, are unknown.
    #[error("cannot list this host's own addresses, so a guest cannot be kept away from them")]
    HostAddresses(#[source] io::Error),
    /// The process could not be started.
    #[error("cannot start the network's process")]
    Spawn(#[source] io::Error),
}

/// Checks that this host can have machines with a network.
///
/// # Errors
/// When the host's own addresses cannot be listed.
pub fn check_host() -> io::Result<()> {
    HostAddresses::watch().map(drop)
}

/// The network of machines without root.
#[derive(Clone, Debug)]
pub struct UserNetwork {
    helper: PathBuf,
    rules: Rules,
}

impl UserNetwork {
    /// Takes a program that calls [`crate::role::play`] first of all: it becomes the network of a machine. The rules hold from
    /// the first frame on.
    #[must_use]
    pub fn new(helper: impl Into<PathBuf>, rules: Rules) -> Self {
        Self { helper: helper.into(), rules }
    }

    /// Returns how a guest whose interface has this hardware address reaches the network.
    #[must_use]
    pub fn guest(&self, mac: &str) -> GuestNetwork {
        subnet::guest_network(mac)
    }

    /// Returns the largest packet that the network carries, in bytes.
    #[must_use]
    pub fn mtu(&self) -> u32 {
        MTU
    }

    /// Starts the network of a machine whose files lie in `directory`, and returns the socket by which it is handed what the
    /// machine is attached by. What it has to say goes to `errors`.
    ///
    /// # Errors
    /// [`LaunchError`].
    pub fn launch(
        &self,
        attachment: NetworkAttachment,
        directory: &Path,
        errors: &File,
    ) -> Result<(Started, UnixStream), LaunchError> {
        // Told here, where it can be told well. The process itself does not run without it, either.
        check_host().map_err(LaunchError::HostAddresses)?;
        let (socket, far_end) = pair().map_err(LaunchError::Spawn)?;
        let listener = listen(&place(directory)).map_err(LaunchError::Spawn)?;
        let rules = serde_json::to_string(&self.rules).map_err(|error| LaunchError::Spawn(error.into()))?;
        let mut inherited = Inherited::default();
        let control = inherited.add(listener).to_string();
        let process = launch(Launch {
            program: self.helper.clone(),
            directory: directory.to_owned(),
            arguments: vec![
                ARGUMENT.into(),
                word(attachment).into(),
                control.into(),
                directory.into(),
                rules.into(),
            ],
            input: Some(far_end.into()),
            output: None,
            errors: errors.try_clone().map_err(LaunchError::Spawn)?,
            inherited,
        })
        .map_err(LaunchError::Spawn)?;
        Ok((process, socket))
    }
}
