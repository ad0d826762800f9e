//! Shell completion. The script asks this program at each press of Tab, so the names are live.

mod names;
mod script;

pub(crate) use names::{
    catalog_kernels, images, kernels, local_images, local_kernels, operations, places, running_operations,
    vms,
};
pub(crate) use script::{answer, script};
