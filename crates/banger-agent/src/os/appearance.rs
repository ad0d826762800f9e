//! Waits for a path to appear, with all above it: inotify watches the nearest directory that is there.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::inotify::{Watch, WatchFlags};

/// Returns when something is at this path.
pub(crate) async fn wait_for(path: &Path) -> io::Result<()> {
    let watch = Watch::new()?;
    loop {
        let directory = nearest(path);
        let wanted =
            WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::DELETE_SELF | WatchFlags::ONLYDIR;
        match watch.add(&directory, wanted) {
            Ok(()) => {}
            // It went away meanwhile: one above it is the nearest now.
            Err(rustix::io::Errno::NOENT) => continue,
            Err(error) => return Err(error.into()),
        }
        // Looked at after the watch began: what appears from here on is an event.
        if path.exists() {
            return Ok(());
        }
        if nearest(path) == directory {
            watch.events().await?;
        }
    }
}

fn nearest(path: &Path) -> PathBuf {
    path.ancestors().skip(1).find(|ancestor| ancestor.is_dir()).unwrap_or(Path::new("/")).to_owned()
}
