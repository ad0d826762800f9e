//! Access to the operating system. Everything that the product does to its host, except for its own protocols, goes through
//! here: running tools, publishing complete files, locks, processes and their end, paths, random IDs.

pub mod blocking;
pub mod companions;
pub mod event;
pub mod exec;
pub mod failpoint;
pub mod files;
pub mod full_disk;
pub mod host;
pub mod id;
pub mod inheritance;
pub mod keyed_lock;
pub mod launch;
pub mod lock;
pub mod lock_holder;
pub mod log_guard;
pub mod memory;
pub mod memory_kill;
pub mod paths;
pub mod process;
pub mod shortage;
pub mod socket;
pub mod tuning;
