//! Which VMM runs a machine here, and how: a pure rule over what the host has.

mod choice;
mod facts;

pub use choice::{Accelerator, Choice, ChoiceError, FIRECRACKER_KEY, choose};
pub use facts::{FirecrackerPlace, FoundFirecracker, HostFacts, QEMU_PROGRAM};
