//! The contract, carried out with QEMU.

use async_trait::async_trait;
use banger_model::{GuestNetwork, MemoryMib};
use banger_sys::socket::listen_async;

use super::control::QmpControl;
use super::driver::Qemu;
use super::places::Places;
use super::{arguments, network, start};
use crate::channel::{self, Past};
use crate::contract::{AdoptError, Machine, MachineHandle, MachinePlan, Network, StartError, Vmm, VmmKind};
use crate::handle;
use crate::machine::{Presence, RunningMachine};
use crate::selection::Accelerator;

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
