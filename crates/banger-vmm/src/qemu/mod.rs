//! QEMU's `microvm` machine.
//!
//! Sockets and guest memory are opened here and passed by number: QEMU listens before it runs, so nothing waits for a path to
//! appear. Its network's socket is QEMU's own: it has it before it answers on the control socket. Guest memory is an unnamed file in memory (0.4 s less of every boot than a
//! file on disk, no writes to the disk, nothing to remove), which QEMU treats as a named one so that a snapshot may leave
//! it out of its stream; `/proc/<pid>/fd` leads to it.

mod arguments;
mod control;
mod driver;
mod network;
mod places;
mod qmp;
mod start;
mod vmm;

pub use driver::Qemu;
pub use qmp::QmpError;
