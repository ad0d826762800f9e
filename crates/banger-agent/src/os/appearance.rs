//! Waits for a path to appear, with all above it: inotify watches the nearest directory that is there.
//! Source: `inotify(7)`.

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::fs::inotify;
use tokio::io::{Interest, unix::AsyncFd};

use super::async_fd;

/// Returns when something is at this path.
pub(crate) async fn wait_for(path: &Path) -> io::Result<()> {
    let descriptor = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
    let events = async_fd::register(descriptor, Interest::READABLE)?;
    loop {
        let directory = nearest(path);
        let wanted = inotify::WatchFlags::CREATE
            | inotify::WatchFlags::MOVED_TO
            | inotify::WatchFlags::DELETE_SELF
            | inotify::WatchFlags::ONLYDIR;
        match inotify::add_watch(events.get_ref(), &directory, wanted) {
            Ok(_) => {}
            // It went away meanwhile: one above it is the nearest now.
            Err(rustix::io::Errno::NOENT) => continue,
            Err(error) => return Err(error.into()),
        }
        // Looked at after the watch began: what appears from here on is an event.
        if path.exists() {
            return Ok(());
        }
        if nearest(path) == directory {
            take(&events).await?;
        }
    }
}

fn nearest(path: &Path) -> PathBuf {
    path.ancestors().skip(1).find(|ancestor| ancestor.is_dir()).unwrap_or(Path::new("/")).to_owned()
}

/// Waits for events and takes them all.
async fn take(events: &AsyncFd<OwnedFd>) -> io::Result<()> {
    let mut guard = events.readable().await?;
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
