//! Where things are inside a cell or a jail: the same for every machine, so that a snapshot, which remembers the paths of
//! its machine's drives and socket, fits every other machine.

use std::path::PathBuf;

use crate::contract::DriveRole;

macro_rules! inside {
    ($path:literal) => {
        concat!("/machine", $path)
    };
}

/// Firecracker itself.
pub(in crate::firecracker) const PROGRAM: &str = "/firecracker";
/// Its name for itself.
pub(in crate::firecracker) const ARGUMENT_ZERO: &str = "firecracker";
/// The machine's runtime directory, where sockets are made.
pub(in crate::firecracker) const RUN: &str = inside!("/run");
/// The API's socket.
pub(in crate::firecracker) const CONTROL: &str = inside!("/run/control.sock");
/// The guest channel.
pub(in crate::firecracker) const CHANNEL: &str = inside!("/run/channel.sock");
/// The socket of the process that hands over pages.
pub(in crate::firecracker) const PAGER: &str = inside!("/run/pager.sock");
/// What Firecracker says.
pub(in crate::firecracker) const LOG: &str = inside!("/firecracker.log");
/// What Firecracker counts.
pub(in crate::firecracker) const METRICS: &str = inside!("/metrics");
/// Where snapshots are written.
pub(in crate::firecracker) const OUTBOX: &str = inside!("/outbox");
/// The ELF kernel.
pub(in crate::firecracker) const KERNEL: &str = inside!("/kernel");
/// The initramfs.
pub(in crate::firecracker) const INITRAMFS: &str = inside!("/initramfs");
/// Registers and devices of the snapshot that the machine is made from.
pub(in crate::firecracker) const SNAPSHOT_STATE: &str = inside!("/snapshot/state");
/// Its memory.
pub(in crate::firecracker) const SNAPSHOT_MEMORY: &str = inside!("/snapshot/memory");

/// A drive.
pub(in crate::firecracker) fn drive(role: DriveRole) -> PathBuf {
    PathBuf::from(inside!("/drives")).join(role.as_str())
}
