//! Persistent state: the rows of VMs, in SQLite. Processes, sockets and disks are facts of the host and are looked up there;
//! the store holds specifications and identities.
//!
//! There is one connection behind a mutex. Every call is one short transaction (well under a millisecond, no network, no
//! wait for other programs), so asynchronous callers may call it directly.

mod error;
mod event;
mod migration;
mod reserve;
mod store;
mod vm;
mod vm_row;

pub use banger_model::Pending;
pub use error::StoreError;
pub use event::{Event, EventRow};
pub use store::Store;
pub use vm_row::{CreateRequest, GuestIdentity, VmRow};
