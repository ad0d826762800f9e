//! The network of a QEMU machine: QEMU listens for it, and listens again when it has gone.

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use banger_model::NetworkAttachment;
use banger_sys::process::ProcessIdentity;
use banger_sys::socket::{connect_blocking, hand_over};

use super::driver::Qemu;
use super::places::Places;
use crate::contract::{MachineHandle, NetworkLauncher, StartError};
use crate::handle;
use crate::machine::{RestartNetwork, append_log};

/// Joins a network that waits at `socket` to a QEMU that answers on its control socket.
pub(super) fn join(socket: &UnixStream, places: &Places) -> Result<(), StartError> {
    let failed = || StartError::preparing(&places.network);
    let machine = connect_blocking(&places.network).map_err(failed())?;
    hand_over(socket, &[machine.as_fd()]).map_err(failed())
}

/// Returns what starts the machine's network again. `None`: an older version started the machine, and its QEMU listens for
/// nobody.
pub(super) fn restart(
    driver: &Qemu,
    handle: &MachineHandle,
    places: &Places,
) -> Option<Box<dyn RestartNetwork>> {
    let directory = handle.console_log.parent()?.to_owned();
    if !places.network.exists() {
        return None;
    }
    let (network, handle, places) = (Arc::clone(&driver.network), handle.clone(), places.clone());
    Some(Box::new(Restart { network, handle, places, directory }))
}

struct Restart {
    network: Arc<dyn NetworkLauncher>,
    handle: MachineHandle,
    places: Places,
    /// The machine's state directory.
    directory: PathBuf,
}

#[async_trait]
impl RestartNetwork for Restart {
    async fn restart(&self) -> Result<ProcessIdentity, StartError> {
        let errors = append_log(&self.places.network_log)?;
        let launched = self.network.launch(NetworkAttachment::Stream, &self.directory, &errors)?;
        let process = launched.process.identity;
        let handle = MachineHandle { companions: vec![process.into()], ..self.handle.clone() };
        handle::write(&self.directory, &handle).await?;
        join(&launched.socket, &self.places)?;
        launched.process.release();
        Ok(process)
    }
}
