//! Applies the identity of the VM: name, keys, address, clock, seed. Idempotent, and repeated with a new identity when the
//! guest was restored from a snapshot. A step that fails becomes a warning: the guest works without it.

mod apply;
pub(crate) mod clock;
mod files;
mod netlink;
mod network;
mod texts;
mod trust;

pub(crate) use apply::Identity;
