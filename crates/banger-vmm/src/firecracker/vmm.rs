//! The contract, carried out with Firecracker.

use async_trait::async_trait;
use banger_model::GuestNetwork;

use super::driver::Firecracker;
use super::{stand, start};
use crate::contract::{
    AdoptError, Machine, MachineHandle, MachinePlan, Network, RestorePlan, StartError, Vmm, VmmKind,
};
use crate::handle;

#[async_trait]
impl Vmm for Firecracker {
    fn kind(&self) -> VmmKind {
        VmmKind::Firecracker
    }

    fn guest_network(&self, network: &Network) -> Option<GuestNetwork> {
        match network {
            Network::None => None,
            // The device tells its largest packet since 1.16 only.
            Network::UserMode { mac } => {
                Some(GuestNetwork { mtu: Some(self.network.mtu()), ..self.network.guest(mac) })
            }
        }
    }

    async fn start(&self, plan: &MachinePlan) -> Result<Box<dyn Machine>, StartError> {
        Ok(Box::new(start::start(self, plan).await?))
    }

    async fn adopt(&self, handle: &MachineHandle) -> Result<Option<Box<dyn Machine>>, AdoptError> {
        handle::check_format(handle)?;
        let machine = stand::adopt(self, handle).await?;
        Ok(machine.map(|machine| Box::new(machine) as Box<dyn Machine>))
    }

    async fn restore(&self, plan: &MachinePlan, from: &RestorePlan) -> Result<Box<dyn Machine>, StartError> {
        Ok(Box::new(start::restore(self, plan, from).await?))
    }
}
