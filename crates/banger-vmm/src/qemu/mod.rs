//! QEMU's `microvm` machine.
//!
//! Sockets and guest memory are opened here and passed by number: QEMU listens before it runs, so nothing waits for a path to
//! appear. Its network's socket is QEMU's own: it has it before it answers on the control socket. Guest memory is an unnamed file in memory (0.4 s less of every boot than a
//! file on disk, no writes to the disk, nothing to remove), which QEMU treats as a named one so that a snapshot may leave
//! it out of its stream; `/proc/<pid>/fd` leads to it.

mod arguments;
mod control;
mod network;
mod places;
mod qmp;
mod start;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use banger_model::{GuestNetwork, MemoryMib};
use banger_sys::socket::listen_async;

use crate::channel::{self, Past};
use crate::contract::{
    AdoptError, Machine, MachineHandle, MachinePlan, Network, NetworkLauncher, StartError, Vmm, VmmKind,
};
use crate::handle;
use crate::machine::{Presence, RunningMachine};
use crate::selection::{Accelerator, Choice};
use control::QmpControl;
use places::Places;

pub use qmp::QmpError;

/// The QEMU driver.
#[derive(Clone, Debug)]
pub struct Qemu {
    program: PathBuf,
    accelerator: Accelerator,
    network: Arc<dyn NetworkLauncher>,
}

impl Qemu {
    /// Makes the driver for what was chosen.
    #[must_use]
    pub fn new(choice: &Choice, network: Arc<dyn NetworkLauncher>) -> Self {
        Self { program: choice.program.clone(), accelerator: choice.accelerator, network }
    }
}

#[async_trait]
impl Vmm for Qemu {
    fn kind(&self) -> VmmKind {
        VmmKind::Qemu
    }

    fn guest_network(&self, network: &Network) -> Option<GuestNetwork> {
        match network {
            Network::None => None,
            Network::UserMode { mac } => Some(self.network.guest(mac)),
        }
    }

    fn memory_beside_guest_mib(&self, memory: MemoryMib) -> u64 {
        match self.accelerator {
            Accelerator::Kvm => 0,
            Accelerator::Tcg => arguments::translation_cache_mib(memory),
        }
    }

    async fn start(&self, plan: &MachinePlan) -> Result<Box<dyn Machine>, StartError> {
        let machine = start::start(self, plan).await?;
        Ok(Box::new(machine))
    }

    async fn adopt(&self, handle: &MachineHandle) -> Result<Option<Box<dyn Machine>>, AdoptError> {
        handle::check_format(handle)?;
        let places = Places::of_handle(handle);
        let control = Box::new(QmpControl::new(handle));
        let restart = network::restart(self, handle, &places);
        let adopted = RunningMachine::adopt(handle, places.sockets(), control, Presence::Told).await?;
        let Some(machine) = adopted else { return Ok(None) };
        let failed = |source| AdoptError::Open { vm: handle.vm.clone(), source };
        let listener = listen_async(&places.channel).map_err(failed)?;
        let channel = channel::serve(listener, places.pipe, Past::Unknown, machine.end_token());
        Ok(Some(Box::new(machine.with_network(restart).with_task(channel))))
    }
}
