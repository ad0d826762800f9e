//! What services tell of VMs, kernels and images: plain structs, which `http/` puts into the form of the contract.

mod image;
mod kernel;
mod vm;

use banger_image::PackedBundle;

pub use image::{ImageDetails, ImageFacts};
pub use kernel::{CatalogKernel, KernelDetails, KernelFacts};
pub use vm::{CommandFacts, Presence, VmFacts, other_sizes};

/// What comes out of an operation.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Nothing to tell: what it was about is gone, or as it was asked for.
    Nothing,
    /// A VM, as it is then.
    Vm(Box<VmFacts>),
    /// An image.
    Image(Box<ImageFacts>),
    /// A kernel.
    Kernel(Box<KernelFacts>),
    /// A bundle.
    Bundle(PackedBundle),
}
