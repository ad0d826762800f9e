//! What clients ask for, as the types that services take: the only place where a request is judged by itself.

mod image;
mod kernel;
mod vm;

pub(super) use image::{bundle_pull, image_wish, registration};
pub(super) use kernel::import_request;
pub(super) use vm::{change, new_vm};
