//! The roles that a program with a suite plays for its machines, as the daemon does.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use banger_model::{GuestNetwork, NetworkAttachment};
use banger_net::UserNetwork;
use banger_net::control::Rules;
use banger_vmm::{NetworkLauncher, NetworkProcess, StartError};

/// Plays the role that the arguments (without the program's name) request. A program with a suite calls this first of all.
#[must_use]
pub fn play(arguments: &[OsString]) -> Option<ExitCode> {
    banger_vmm::role::play(arguments.to_vec()).or_else(|| banger_net::role::play(arguments.to_vec()))
}

/// Returns the path of this program, which plays the processes beside its machines.
///
/// # Panics
/// If the file has been deleted.
#[must_use]
pub fn helper() -> PathBuf {
    std::env::current_exe().expect("this program has a file")
}

/// Returns the real network, for drivers.
#[must_use]
pub fn network() -> Arc<dyn NetworkLauncher> {
    Arc::new(Network(UserNetwork::new(helper(), Rules::default())))
}

#[derive(Debug)]
struct Network(UserNetwork);

impl NetworkLauncher for Network {
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
        let launched = self.0.launch(attachment, directory, errors);
        let (process, socket) = launched
            .map_err(|error| StartError::Spawn { program: "network", source: io::Error::other(error) })?;
        Ok(NetworkProcess { process, socket })
    }
}
