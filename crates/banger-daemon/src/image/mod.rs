//! Kernels and images: what is done with them, as operations and views, and what VMs boot from them.

mod boot_source;
mod bundles;
mod error;
mod fault;
mod images;
mod kernel_check;
mod kernels;
mod local;
mod oci;
mod view;
mod work;

pub use boot_source::ImageBootSource;
pub use error::ImageOperationError;
pub use images::ImageOperations;
pub use kernels::{KernelOperationError, KernelOperations};
pub(crate) use oci::wanted_image;
