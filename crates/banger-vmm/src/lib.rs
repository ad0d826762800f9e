//! The VMM contract: a plan goes in, a running machine comes out. Two drivers stand behind it, Firecracker and QEMU; the
//! rest of the product never knows which one runs.

mod channel;
mod contract;
mod failed;
pub mod fake;
pub mod firecracker;
pub mod handle;
mod last_words;
mod machine;
pub mod memory_file;
pub mod orphans;
mod plan_check;
pub mod qemu;
pub mod role;
pub mod selection;

pub use contract::*;
pub use last_words::{LastWords, ProgramLog, vmm_logs};
