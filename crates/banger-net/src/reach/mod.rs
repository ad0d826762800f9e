//! Whom a guest may reach: decided where a connection is made, by its destination.

mod closed;
mod host_addresses;
mod prefix;
mod rules;

pub(crate) use host_addresses::HostAddresses;
pub(crate) use prefix::Prefix;
pub(crate) use rules::{Protocol, Reach, Verdict};
