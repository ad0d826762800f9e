//! Joins the VMM drivers to the network of their machines; neither knows the other.

use std::fs::File;
use std::path::Path;

use banger_model::{GuestNetwork, NetworkAttachment};
use banger_net::{LaunchError, UserNetwork};
use banger_vmm::{NetworkLauncher, NetworkProcess, StartError};

/// The user-mode network, as drivers start it.
#[derive(Debug)]
pub(crate) struct MachineNetwork(pub(crate) UserNetwork);

impl NetworkLauncher for MachineNetwork {
    fn guest(&self, mac: &str) -> GuestNetwork {
        self.0.guest(mac)
    }

    fn mtu(&self) -> u32 {
        self.0.mtu()
    }

    fn launch(
        &self,
        attachment: NetworkAttachment,
        directory: &Path,
        errors: &File,
    ) -> Result<NetworkProcess, StartError> {
        match self.0.launch(attachment, directory, errors) {
            Ok((process, socket)) => Ok(NetworkProcess { process, socket }),
            Err(LaunchError::HostAddresses(source)) => Err(StartError::HostAddresses { source }),
            Err(LaunchError::Spawn(source)) => Err(StartError::Spawn { program: "network", source }),
        }
    }
}
