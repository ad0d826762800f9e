//! Waits for a path to appear, with all its parents: inotify watches the nearest existing directory.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::inotify::{Watch, WatchFlags};

/// Returns when the path exists.
pub(crate) async fn wait_for(path: &Path) -> io::Result<()> {
    let watch = Watch::new()?;
    loop {
        let directory = nearest(path);
        let wanted =
            WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::DELETE_SELF | WatchFlags::ONLYDIR;
        match watch.add(&directory, wanted) {
            Ok(()) => {}
            // It disappeared meanwhile; now one of its parents is the nearest existing directory.
            Err(rustix::io::Errno::NOENT) => continue,
            Err(error) => return Err(error.into()),
        }
        // Checked after the watch began: whatever appears from here on causes an event.
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
