//! Descriptors that tell of events: the only place where one is handed to the runtime.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::unix::AsyncFd;

/// Watches a descriptor (a pidfd, an inotify queue) for being readable. It has to be non-blocking.
///
/// # Errors
/// When the runtime cannot watch it.
#[expect(unsafe_code, reason = "registering a descriptor is unsafe: it must stay open while it is watched")]
pub fn watch(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned by the `AsyncFd`, which closes it only when it is dropped itself.
    unsafe { AsyncFd::register(descriptor) }.map_err(io::Error::from)
}
