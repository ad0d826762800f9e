//! Kernels and images: what is known of them and done with them, and what VMs boot from them.

mod boot_source;
mod bundles;
mod error;
mod fault;
mod images;
mod kernel_check;
mod kernels;
mod local;
mod oci;
mod wish;
mod work;

pub use boot_source::ImageBootSource;
pub use error::ImageOperationError;
pub use images::ImageOperations;
pub use kernels::{KernelOperationError, KernelOperations};
pub use wish::{ImageWish, KernelWish, RegistrationWish};
