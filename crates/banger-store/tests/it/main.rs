//! The store on real files, with failing disks and misbehaving neighbours.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod faults;
mod full_disk;
