//! Makes the guest this VM: name, keys, address, clock, seed. Idempotent, and ready to be told anew when the guest
//! was restored from a snapshot. What cannot be done becomes a warning: the guest works without it.

mod apply;
pub(crate) mod clock;
mod files;
mod netlink;
mod network;
mod texts;
mod trust;

pub(crate) use apply::Identity;
