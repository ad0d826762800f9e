//! Descriptors that signal events: the only place where one is registered with the runtime.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::unix::AsyncFd;

/// Watches a descriptor (a pidfd, an inotify queue) until it is readable. The descriptor must be non-blocking.
///
/// # Errors
/// If the runtime cannot watch it.
#[expect(unsafe_code, reason = "registering a descriptor is unsafe: it must stay open while it is watched")]
pub fn watch(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned by the `AsyncFd`, which closes it only when it is dropped itself.
    unsafe { AsyncFd::register(descriptor) }.map_err(io::Error::from)
}
