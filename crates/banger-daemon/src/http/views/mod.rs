//! What services tell, in the form of the contract.

mod doctor;
mod event;
mod guest;
mod image;
mod kernel;
mod operation;
mod vm;

pub(super) use doctor::report;
pub(super) use event::event;
pub(super) use guest::{listener, vm_stats};
pub(super) use image::{image, image_details};
pub(super) use kernel::{catalog_kernel, kernel, kernel_details};
pub(super) use operation::operation;
pub(super) use vm::{VmListView, ending, ssh_access, vm};
