//! File events, as a stream for the runtime. Source: `inotify(7)`.

use std::{io, os::fd::OwnedFd, path::Path};

pub(crate) use rustix::fs::inotify::WatchFlags;
use rustix::fs::inotify::{CreateFlags, add_watch, init};
use tokio::io::{Interest, unix::AsyncFd};

use super::async_fd;

/// Watches files and directories. Callers do not learn which of them an event belongs to.
#[derive(Debug)]
pub(crate) struct Watch(AsyncFd<OwnedFd>);

impl Watch {
    /// Makes a watch without any paths.
    pub(crate) fn new() -> io::Result<Self> {
        let descriptor = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        async_fd::register(descriptor, Interest::READABLE).map(Self)
    }

    /// Watches a path for these events as well.
    pub(crate) fn add(&self, path: &Path, events: WatchFlags) -> rustix::io::Result<()> {
        add_watch(self.0.get_ref(), path, events).map(drop)
    }

    /// Waits for events and consumes all of them.
    pub(crate) async fn events(&self) -> io::Result<()> {
        let mut guard = self.0.readable().await?;
        let mut buffer = [0; 4096];
        loop {
            match rustix::io::read(guard.get_inner(), &mut buffer) {
                Ok(_) => {}
                Err(rustix::io::Errno::AGAIN) => {
                    guard.clear_ready();
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}
