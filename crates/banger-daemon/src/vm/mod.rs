//! VMs: their whole life, by service. [`Lifecycle`] makes, starts, ends and removes them, each under the VM's lock
//! (`locks.rs`); a boot is a chain of phases (`boot.rs`) whose undo is kept by the caller (`undo.rs`). [`Doors`] lets clients
//! into guests, `watch.rs` looks after what runs, `keeper.rs` does what becomes due, and what a dead daemon left is put
//! right in `reconcile.rs`. What runs is in `machines.rs`; [`Vms`] puts all of it together.

mod boot;
mod boots;
mod bound;
mod change;
mod command;
mod command_watch;
mod console;
mod create;
mod delete;
mod disk;
mod doors;
mod ending;
mod ending_record;
mod endings;
mod error;
mod fault;
mod figures;
mod guest;
mod guest_words;
mod health;
mod keeper;
mod lifecycle;
mod lifetimes;
mod line_label;
mod locks;
mod machines;
mod network;
mod pause;
mod ready_ports;
mod reason;
mod reboot;
mod reboots;
mod reconcile;
mod records;
mod removal;
mod room;
mod rows;
mod start;
mod stillness;
mod stop;
mod strays;
mod supplies;
mod undo;
mod usage;
mod views;
mod vms;
mod watch;
mod way_out;

pub use change::VmChange;
pub use console::ConsoleReader;
pub use create::NewVm;
pub use doors::{Doors, SshKeys};
pub use ending::Ending;
pub use endings::{EndingTeller, GuestEnding};
pub use error::{GuestError, GuestFailure, VmError};
pub use figures::{DiskFigures, HostFigures, MachineFigures, VmFigures};
pub use guest_words::{GuestListener, ListenerProtocol};
pub use lifecycle::Lifecycle;
pub use reconcile::ReconcileReport;
pub(crate) use reconcile::disks_without_vm;
pub use views::{Views, VmList};
pub use vms::{VmParts, Vms};
