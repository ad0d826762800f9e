//! Packets of the guest's network: read from bytes, and written to bytes. Pure; nothing is judged or answered here.

pub(crate) mod arp;
mod bytes;
mod checksum;
pub(crate) mod dhcp;
pub(crate) mod ethernet;
pub(crate) mod icmp;
pub(crate) mod ip;
pub(crate) mod ndp;
pub(crate) mod tcp;
pub(crate) mod udp;
