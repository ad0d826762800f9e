//! The network of a Firecracker machine, started again when it has gone: its tap went with it, so a process joins the machine's
//! namespaces, makes another one, and hands it to the new network.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use banger_model::NetworkAttachment;
use banger_sys::launch::{Inherited, Launch, launch};
use banger_sys::process::ProcessIdentity;

use super::driver::Firecracker;
use super::names::JOIN_ARGUMENT;
use super::places::Places;
use crate::contract::{MachineHandle, MachineProcess, NETWORK, NetworkLauncher, StartError};
use crate::handle;
use crate::machine::{RestartNetwork, append_log, last_words};

/// A tap is made in a few milliseconds, unless the host is busy.
const JOIN_DEADLINE: Duration = Duration::from_secs(30);

/// Starts the network of a machine again.
pub(super) struct Restart {
    helper: PathBuf,
    network: Arc<dyn NetworkLauncher>,
    handle: MachineHandle,
    places: Places,
}

impl Restart {
    pub(super) fn new(driver: &Firecracker, handle: &MachineHandle, places: &Places) -> Self {
        Self {
            helper: driver.helper.clone(),
            network: Arc::clone(&driver.network),
            handle: handle.clone(),
            places: places.clone(),
        }
    }

    /// Returns the machine's handle with another network.
    fn handle_with(&self, network: MachineProcess) -> MachineHandle {
        let companions = [network].into_iter().chain(self.handle.pager).collect();
        MachineHandle { companions, ..self.handle.clone() }
    }

    /// Has a tap made in the machine's network, and handed to whoever waits at the other end of the socket.
    async fn join(&self, socket: std::os::fd::OwnedFd, errors: File) -> Result<(), StartError> {
        let failed = |source| StartError::Spawn { program: NETWORK, source };
        let MachineProcess { pid, start_ticks } = self.handle.process;
        let mut joining = launch(Launch {
            program: self.helper.clone(),
            directory: self.places.state.clone(),
            arguments: vec![
                JOIN_ARGUMENT.into(),
                pid.to_string().into(),
                start_ticks.to_string().into(),
                self.network.mtu().to_string().into(),
            ],
            input: Some(socket),
            output: None,
            errors,
            inherited: Inherited::default(),
        })
        .map_err(failed)?;
        match tokio::time::timeout(JOIN_DEADLINE, joining.ended()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(_failure)) => {
                Err(StartError::Refused { program: NETWORK, stderr: last_words(&self.places.network_log) })
            }
            Ok(Err(source)) => Err(failed(source)),
            Err(_late) => Err(StartError::NotReady { program: NETWORK, deadline: JOIN_DEADLINE }),
        }
    }
}

#[async_trait]
impl RestartNetwork for Restart {
    async fn restart(&self) -> Result<ProcessIdentity, StartError> {
        let log = &self.places.network_log;
        let errors = append_log(log)?;
        let errors_of_joining = errors.try_clone().map_err(StartError::preparing(log))?;
        let launched = self.network.launch(NetworkAttachment::Tap, &self.places.state, &errors)?;
        let process = launched.process.identity;
        handle::write(&self.places.state, &self.handle_with(process.into())).await?;
        self.join(launched.socket.into(), errors_of_joining).await?;
        launched.process.release();
        Ok(process)
    }
}
