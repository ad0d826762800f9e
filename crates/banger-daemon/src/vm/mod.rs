//! VMs: their whole life. [`VmService`] owns the per-VM locks; a boot is a chain of phases (`boot.rs`) whose undo is
//! kept by the caller (`undo.rs`); what runs is in `machines.rs`; what a dead daemon left is put right in
//! `reconcile.rs`.

mod boot;
mod boots;
mod bound;
mod change;
mod console;
mod create;
mod doors;
mod ending;
mod endings;
mod error;
mod fault;
mod figures;
mod guest;
mod guest_words;
mod health;
mod keeper;
mod lifecycle;
mod machines;
mod network;
mod pause;
mod ready_ports;
mod reboot;
mod reconcile;
mod removal;
mod resolve;
mod room;
mod rows;

mod stillness;
mod undo;
mod usage;
mod verbs;
mod view;
mod way_out;

pub use console::ConsoleReader;
pub use ending::Ending;
pub(crate) use error::ENTER;
pub use error::VmError;
pub use lifecycle::{VmList, VmService, VmServiceParts};
pub use reconcile::ReconcileReport;
pub(crate) use view::time_text;
