//! Makes file systems and checks them with independent programs: `e2fsck`, `debugfs`, `resize2fs`, and the crate
//! `ext4-view`.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what is around a test fails the test"
)]

mod directories;
mod disks;
mod edits;
mod entries;
mod layers;
mod random_trees;
mod reads;
mod support;
mod tars;
