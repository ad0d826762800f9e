//! Firecracker.
//!
//! ```text
//! daemon ── HTTP on control.sock ──▶ firecracker, in a cell: namespaces of its own, nothing seen but its files
//!    │                                  │ tap0 ─ bridge ─ tap1 ─▶ network
//!    ├── CONNECT on channel.sock ───────┤ vsock ─▶ agent
//!    └◀─ ring on channel.sock_1026 ─────┘
//! ```
//! It runs without root: the cell is made by a user namespace. Where the daemon is root, Firecracker's own jailer does the
//! rest ([`jail`]).

pub mod api;
mod bell;
mod beside;
mod binds;
pub(crate) mod cell;
mod config;
mod confine;
mod control;
mod driver;
mod failed_writes;
mod host;
mod jail;
mod jail_host;
mod metrics;
mod names;
mod network;
mod orders;
pub(crate) mod pager;
mod places;
mod plan;
mod probe;
mod ready;
mod stand;
mod start;
mod version;
mod vmm;

pub use config::Tuning;
pub use driver::Firecracker;
pub use jail::JailWish;
pub use jail_host::{JailFacts, jailer_of};
pub(crate) use names::{CELL_ARGUMENT, JOIN_ARGUMENT, LOG_FILE, NO_CONSOLE};
pub use names::{JAILER_NAME, PROGRAM_NAME};
pub use probe::{ProbeError, version_of};
pub use version::{NotAVersion, OLDEST, OLDEST_TEXT, TESTED, Version};
