//! Which VMM runs a VM: chosen when the VM starts, found again by the machine's handle.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use banger_model::WantedVmm;
use banger_sys::process::ProcessIdentity;
use banger_vmm::selection::ChoiceError;
use banger_vmm::{Vmm, VmmKind};

/// None of this host's VMMs is what is wanted.
#[derive(Debug, thiserror::Error)]
#[error("no VMM can run a VM on this host")]
pub struct NoVmm(#[source] pub ChoiceError);

/// A VMM that was chosen.
#[derive(Clone)]
pub struct ChosenVmm {
    /// The driver.
    pub vmm: Arc<dyn Vmm>,
    /// Its name with the accelerator, as in `qemu/tcg`.
    pub label: String,
    /// What the user is told whenever a VM is started by it.
    pub warnings: Vec<String>,
}

/// Chooses VMMs. Real: by looking at the host; in tests: a fake.
pub trait VmmSource: Send + Sync {
    /// Returns the VMM that is wanted.
    ///
    /// # Errors
    /// [`NoVmm`].
    fn choose(&self, wanted: WantedVmm) -> Result<ChosenVmm, NoVmm>;

    /// Returns a driver that can take over machines of this kind.
    fn of_kind(&self, kind: VmmKind) -> Option<Arc<dyn Vmm>>;

    /// Ends the machines below `vms` that are none of the known processes and whose directory is none of those kept; returns
    /// how many there were.
    fn end_orphans(&self, vms: &Path, known: &[ProcessIdentity], kept: &[PathBuf]) -> usize;

    /// Returns the VMM processes that run from these state directories of VMs, known or not, each with its directory. Blocks
    /// while it looks through all processes.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    fn machines_of(&self, directories: &[PathBuf]) -> io::Result<Vec<(ProcessIdentity, PathBuf)>>;
}
