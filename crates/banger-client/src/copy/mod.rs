//! Copies files and directories into VMs, out of them, and from one to another.

mod error;
mod host;
mod plan;
mod tar_error;
mod tar_input;
mod tar_output;
mod transfer;

pub use error::CopyError;
pub use host::Work;
pub use plan::{CopyPlan, GuestPath, Place, Sources};
pub use tar_error::TarError;
pub use transfer::{Copy, Guest, Meter, Prepared, Streams};
