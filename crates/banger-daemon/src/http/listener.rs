//! The daemon's socket: 0600 in a 0700 directory, and only this user's processes are heard.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use banger_sys::shortage;
use tokio::net::{UnixListener, UnixStream};
use tracing::warn;

/// Between two tries to take a connection, when the daemon has run out of something.
const PAUSE_FIRST: Duration = Duration::from_millis(10);
const PAUSE_LAST: Duration = Duration::from_secs(1);

/// A socket that only its owner may use.
#[derive(Debug)]
pub struct PrivateListener(UnixListener);

impl PrivateListener {
    /// Listens on `path`. The caller holds the daemon's lock, so a socket that is there already is dead.
    ///
    /// # Errors
    /// As `bind(2)`.
    pub fn bind(path: &Path) -> io::Result<Self> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // The directory is private, so nobody can come in before the mode is set.
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(Self(listener))
    }
}

impl PrivateListener {
    /// Waits for the next connection of this user. Nothing ends it: a daemon that has run out of something serves those
    /// that it has, and gets it back from them.
    pub(super) async fn accept(&self) -> UnixStream {
        let mut pause = PAUSE_FIRST;
        loop {
            match self.0.accept().await {
                Ok((stream, _address)) => match stream.peer_cred() {
                    Ok(peer) if peer.uid() == rustix::process::geteuid().as_raw() || peer.uid() == 0 => {
                        return stream;
                    }
                    Ok(peer) => warn!(uid = peer.uid(), "refused a connection of another user"),
                    Err(error) => warn!(%error, "refused a connection of nobody"),
                },
                Err(error) => {
                    shortage::note_if(&error);
                    warn!(%error, "the daemon cannot take a connection");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_LAST);
                }
            }
        }
    }
}
