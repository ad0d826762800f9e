//! The door to the operating system. Everything the product does to its host that is not a protocol of its own goes
//! through here: running a tool, files that appear whole, locks, processes and their end, paths, random ids.

pub mod event;
pub mod exec;
pub mod failpoint;
pub mod files;
pub mod host;
pub mod id;
pub mod inheritance;
pub mod keyed_lock;
pub mod lock;
pub mod memory;
pub mod memory_kill;
pub mod paths;
pub mod process;
pub mod shortage;
pub mod tuning;
