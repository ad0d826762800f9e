//! What a driver asks of a machine's network. How it works is not the driver's matter.

use std::fmt::Debug;
use std::fs::File;
use std::os::unix::net::UnixStream;
use std::path::Path;

use banger_model::{GuestNetwork, NetworkAttachment};
use banger_sys::launch::Started;

use super::StartError;

/// What the process is called in errors.
pub(crate) const NETWORK: &str = "network";

/// Starts what carries a machine's network without root: one process for each machine.
pub trait NetworkLauncher: Debug + Send + Sync {
    /// Returns how a guest whose interface has this hardware address reaches the network.
    fn guest(&self, mac: &str) -> GuestNetwork;

    /// Returns the largest packet that the network carries, in bytes.
    fn mtu(&self) -> u32;

    /// Starts the network of a machine whose files lie in `directory`. What it has to say goes to `errors`.
    fn launch(
        &self,
        attachment: NetworkAttachment,
        directory: &Path,
        errors: &File,
    ) -> Result<NetworkProcess, StartError>;
}

/// A network that waits for its machine.
pub struct NetworkProcess {
    /// Its process.
    pub process: Started,
    /// The socket by which it is handed what the machine is attached by.
    pub socket: UnixStream,
}
