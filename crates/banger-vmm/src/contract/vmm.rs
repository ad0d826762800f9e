//! What starts machines.

use async_trait::async_trait;
use banger_model::{GuestNetwork, MemoryMib};

use super::{AdoptError, Machine, MachineHandle, MachinePlan, Network, RestorePlan, StartError, VmmKind};

/// One VMM.
#[async_trait]
pub trait Vmm: Send + Sync {
    /// Which one it is.
    fn kind(&self) -> VmmKind;

    /// Tells how a guest of this driver reaches its network; `None` without one.
    fn guest_network(&self, network: &Network) -> Option<GuestNetwork>;

    /// Returns how much of the host's memory a machine with this memory may take besides, in MiB, where that matters.
    fn memory_beside_guest_mib(&self, memory: MemoryMib) -> u64 {
        let _ = memory;
        0
    }

    /// Starts a machine. The VMM's process is in a session of its own and outlives the caller.
    /// When the future is dropped or fails, no process is left.
    async fn start(&self, plan: &MachinePlan) -> Result<Box<dyn Machine>, StartError>;

    /// Takes over a machine that another process started; `None` when it has ended.
    async fn adopt(&self, handle: &MachineHandle) -> Result<Option<Box<dyn Machine>>, AdoptError>;

    /// Makes a machine from a snapshot. The plan is the one that the snapshot's machine was started with, but for VM,
    /// directories and the files behind its drives. The machine comes up paused, so that whoever wants it can look at it
    /// first; [`Machine::resume`] lets it go.
    /// When the future is dropped or fails, no process is left.
    async fn restore(&self, plan: &MachinePlan, from: &RestorePlan) -> Result<Box<dyn Machine>, StartError> {
        let (_plan, _from) = (plan, from);
        Err(StartError::NoSnapshots { vmm: self.kind() })
    }
}
