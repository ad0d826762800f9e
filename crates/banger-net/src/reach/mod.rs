//! Whom a guest may reach: decided where a connection is made, by the guest's policy and what is known of the host.

mod host_addresses;
mod rules;

pub(crate) use host_addresses::HostAddresses;
pub(crate) use rules::{Reach, Verdict};
