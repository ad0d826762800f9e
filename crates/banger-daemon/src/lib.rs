//! The daemon: services, operations, reconciliation and the HTTP API. [`wiring::Daemon`] builds everything in one
//! place; the parts know only what they are given.

pub mod boot_source;
mod clock;
pub mod config;
pub mod daemon_log;
pub mod doctor;
pub mod events;
pub mod facts;
pub mod fault;
mod file_identity;
mod host_trust;
pub mod http;
pub mod image;
mod machine_network;
pub mod operation;
pub mod program;
pub mod ssh_keys;
pub mod supervisor;
pub mod vm;
pub mod vmm_choice;
pub mod vmm_source;
pub mod wiring;
