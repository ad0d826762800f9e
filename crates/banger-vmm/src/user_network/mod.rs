//! A machine's network without root: one process beside the VMM ([`crate::network_gate`]) that has its end of a socket
//! pair, so it ends with the VMM, or with us if the VMM never starts.

pub(crate) mod passt;
pub(crate) mod sockets;
pub(crate) mod subnet;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use banger_model::{GuestNetwork, NetworkAttachment};
use banger_sys::host;
use banger_sys::launch::{Inherited, Launch, launch};

use crate::contract::{NetworkLauncher, NetworkProcess, StartError};
use crate::network_gate::{ARGUMENT, HostAddresses, word};
use sockets::pair;
use subnet::MTU;

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
        subnet::guest_network(mac)
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
            arguments: vec![ARGUMENT.into(), word(attachment).into(), passt.into(), directory.into()],
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
