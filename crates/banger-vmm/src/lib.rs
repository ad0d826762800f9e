//! The VMM contract: a plan goes in, a running machine comes out. Two drivers stand behind it (QEMU now, Firecracker
//! next); the rest of the product never knows which one runs.

mod channel;
mod contract;
pub mod fake;
pub mod handle;
mod launch;
mod machine;
pub mod network_gate;
pub mod orphans;
pub mod qemu;
pub mod selection;

pub use contract::*;
