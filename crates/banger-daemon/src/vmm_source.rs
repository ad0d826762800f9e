//! Which VMM runs a VM: chosen when the VM starts, found again by the machine's handle.

use std::path::Path;
use std::sync::Arc;

use banger_sys::process::ProcessIdentity;
use banger_vmm::selection::{ChoiceError, UnknownVmm};
use banger_vmm::{Vmm, VmmKind};

/// Why there is no VMM.
#[derive(Debug, thiserror::Error)]
pub enum VmmSourceError {
    /// The wish names none.
    #[error(transparent)]
    Unknown(UnknownVmm),
    /// None of this host fits the wish.
    #[error("no VMM can run a VM on this host")]
    None(#[source] ChoiceError),
}

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
    /// Returns the VMM for a wish (`auto`, `qemu`, `firecracker`).
    ///
    /// # Errors
    /// [`VmmSourceError`].
    fn choose(&self, wish: &str) -> Result<ChosenVmm, VmmSourceError>;

    /// Returns a driver that can take over machines of this kind.
    fn of_kind(&self, kind: VmmKind) -> Option<Arc<dyn Vmm>>;

    /// Ends the machines below `vms` that are none of the known processes; returns how many there were.
    fn end_orphans(&self, vms: &Path, known: &[ProcessIdentity]) -> usize;
}
