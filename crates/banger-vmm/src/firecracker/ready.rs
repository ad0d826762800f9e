//! Waits until Firecracker's API takes requests, without looking again and again.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use banger_sys::socket;
use rustix::fs::inotify;
use tokio::io::unix::AsyncFd;

/// How soon a socket that is there but does not listen yet is tried again: two calls of Firecracker lie between.
const LISTEN_PAUSE: Duration = Duration::from_millis(1);

/// Tells of every name that appears in a directory.
pub(super) fn watch_directory(directory: &Path) -> io::Result<AsyncFd<OwnedFd>> {
    let descriptor = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
    inotify::add_watch(&descriptor, directory, inotify::WatchFlags::CREATE)?;
    banger_sys::event::watch(descriptor)
}

/// Waits until somebody listens on a socket in a watched directory: it appears a moment before.
pub(super) async fn wait_for_listener(control: &Path, appears: &AsyncFd<OwnedFd>) -> io::Result<()> {
    loop {
        match socket::connect(control).await {
            Ok(_stream) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => next_event(appears).await?,
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                tokio::time::sleep(LISTEN_PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
}

async fn next_event(appears: &AsyncFd<OwnedFd>) -> io::Result<()> {
    let mut guard = appears.readable().await?;
    let mut events = [0; 4096];
    match rustix::io::read(guard.get_inner(), &mut events) {
        Ok(_some) => Ok(()),
        Err(rustix::io::Errno::AGAIN) => {
            guard.clear_ready();
            Ok(())
        }
        Err(errno) => Err(errno.into()),
    }
}
