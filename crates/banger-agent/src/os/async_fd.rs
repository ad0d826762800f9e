//! Registers descriptors with the runtime.
#![allow(unsafe_code, reason = "tokio wants a promise that the descriptor stays the same; an owned one does")]

use std::{io, os::fd::OwnedFd};

use tokio::io::{Interest, unix::AsyncFd};

/// Registers a descriptor for these kinds of readiness.
pub(crate) fn register(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` names the same open descriptor for its whole life.
    Ok(unsafe { AsyncFd::register_with_interest(fd, interest) }?)
}
