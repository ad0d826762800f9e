//! What is known of a kernel.

use banger_image::{Kernel, KernelEntry};
use banger_model::{ImageName, KernelName, VmName};

/// A kernel, as lists have it.
#[derive(Clone, Debug)]
pub enum KernelFacts {
    /// One that is here, with what the catalog says about it; empty if it is not in the catalog.
    Local {
        /// The kernel.
        kernel: Kernel,
        /// One line about it.
        description: String,
    },
    /// One that can be pulled.
    InCatalog(KernelEntry),
}

impl KernelFacts {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &KernelName {
        match self {
            Self::Local { kernel, .. } => &kernel.manifest.name,
            Self::InCatalog(entry) => &entry.name,
        }
    }
}

/// A kernel with everything that is known of it.
#[derive(Clone, Debug)]
pub struct KernelDetails {
    /// What lists say.
    pub kernel: KernelFacts,
    /// VMs that boot it.
    pub vms: Vec<VmName>,
    /// Images whose VMs boot it unless told otherwise.
    pub images: Vec<ImageName>,
}

/// A kernel of the catalog.
#[derive(Clone, Debug)]
pub struct CatalogKernel {
    /// What the catalog says.
    pub entry: KernelEntry,
    /// Is it here already?
    pub is_pulled: bool,
}
