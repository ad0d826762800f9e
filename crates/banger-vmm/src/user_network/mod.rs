//! A machine's network without root: one process beside the VMM ([`crate::network_gate`]) that has its end of a socket
//! pair, so it ends with the VMM, or with us if the VMM never starts.

pub(crate) mod passt;

use std::fs::File;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use banger_model::{GuestNetwork, NetworkAttachment};
use banger_sys::host;
use banger_sys::launch::{Inherited, Launch, launch};
use rustix::net::sockopt;

use crate::contract::{NetworkLauncher, NetworkProcess, StartError};
use crate::network_gate::{self, HostAddresses};

/// Largest packet of the guest's network: with its frame the kernel carries it through a Unix socket in one piece (32 KiB
/// and a page less its own notes; what is longer comes in two, between which passt may read). Connections end in passt, so
/// this is no matter of the path behind it.
pub(crate) const MTU: u32 = 32_768;

/// Longest frame: a packet with its Ethernet header.
pub(crate) const FRAME_BYTES_MAX: usize = MTU as usize + 14;

/// Room in the sockets between the processes, as far as the host allows. The kernel doubles it.
const SOCKET_BYTES: usize = 512 * 1024;

/// Its name in errors.
const PROGRAM: &str = "network";

/// The network of machines without root.
#[derive(Clone, Debug)]
pub struct UserNetwork {
    helper: PathBuf,
}

impl UserNetwork {
    /// Takes a program that calls [`crate::role::play`] first of all: it becomes the network of a machine.
    #[must_use]
    pub fn new(helper: impl Into<PathBuf>) -> Self {
        Self { helper: helper.into() }
    }
}

impl NetworkLauncher for UserNetwork {
    fn guest(&self, mac: &str) -> GuestNetwork {
        passt::guest_network(mac)
    }

    fn mtu(&self) -> u32 {
        MTU
    }

    fn launch(
        &self,
        attachment: NetworkAttachment,
        directory: &Path,
        errors: &File,
    ) -> Result<NetworkProcess, StartError> {
        let passt = host::find_program(passt::PROGRAM)
            .ok_or(StartError::Missing { program: passt::PROGRAM, package: "passt" })?;
        // Told here, where it can be told well. The process itself does not run without it, either.
        HostAddresses::watch().map_err(|source| StartError::HostAddresses { source })?;
        let (socket, far_end) = pair().map_err(failed)?;
        let process = launch(Launch {
            program: self.helper.clone(),
            directory: directory.to_owned(),
            arguments: vec![
                network_gate::ARGUMENT.into(),
                network_gate::word(attachment).into(),
                passt.into(),
                directory.into(),
            ],
            input: Some(far_end.into()),
            output: None,
            errors: errors.try_clone().map_err(failed)?,
            inherited: Inherited::default(),
        })
        .map_err(failed)?;
        Ok(NetworkProcess { process, socket })
    }
}

fn failed(source: io::Error) -> StartError {
    StartError::Spawn { program: PROGRAM, source }
}

/// Makes the two ends of a socket with room for a few frames.
pub(crate) fn pair() -> io::Result<(UnixStream, UnixStream)> {
    let (one, other) = UnixStream::pair()?;
    for socket in [&one, &other] {
        make_room(socket)?;
    }
    Ok((one, other))
}

/// Gives a socket room for a few frames that leave by it.
pub(crate) fn make_room(socket: &UnixStream) -> io::Result<()> {
    sockopt::set_socket_send_buffer_size(socket, SOCKET_BYTES).map_err(io::Error::from)
}
