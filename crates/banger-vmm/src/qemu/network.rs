//! The network of a QEMU machine: QEMU listens for it, and listens again when it has gone.

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use banger_sys::process::ProcessIdentity;
use banger_sys::socket::hand_over;

use super::Qemu;
use super::places::Places;
use crate::contract::{MachineHandle, StartError};
use crate::machine::RestartNetwork;
use crate::network_gate::Attachment;
use crate::{handle, user_network};

/// Joins a network that waits at `gate` to a QEMU that answers on its control socket.
pub(super) fn join(gate: &UnixStream, places: &Places) -> Result<(), StartError> {
    let failed = |source| StartError::Prepare { path: places.network.clone(), source };
    let machine = UnixStream::connect(&places.network).map_err(failed)?;
    user_network::make_room(&machine).map_err(failed)?;
    hand_over(gate, machine).map_err(failed)
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
    let (helper, handle, places) = (driver.helper.clone(), handle.clone(), places.clone());
    Some(Box::new(Restart { helper, handle, places, directory }))
}

struct Restart {
    helper: PathBuf,
    handle: MachineHandle,
    places: Places,
    /// The machine's state directory.
    directory: PathBuf,
}

#[async_trait]
impl RestartNetwork for Restart {
    async fn restart(&self) -> Result<ProcessIdentity, StartError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| StartError::Prepare { path, source }
        };
        let log = &self.places.error_log;
        let errors = File::options().append(true).open(log).map_err(failed(log))?;
        let (network, gate) =
            user_network::start(&self.helper, Attachment::Stream, &self.directory, &errors)?;
        let process = network.identity;
        let handle = MachineHandle { companions: vec![process.into()], ..self.handle.clone() };
        let directory = self.directory.clone();
        let stored = tokio::task::spawn_blocking(move || handle::store(&directory, &handle)).await;
        let stored = stored.map_err(std::io::Error::other).and_then(|it| it.map_err(std::io::Error::other));
        stored.map_err(failed(&self.directory.join(handle::HANDLE_FILE)))?;
        join(&gate, &self.places)?;
        network.release();
        Ok(process)
    }
}
