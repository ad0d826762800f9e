//! The daemon's socket: 0600 in a 0700 directory, and only this user's processes are heard.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use axum::serve::Listener;
use tokio::net::unix::SocketAddr;
use tokio::net::{UnixListener, UnixStream};
use tracing::warn;

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

impl Listener for PrivateListener {
    type Io = UnixStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = Listener::accept(&mut self.0).await;
            match stream.peer_cred() {
                Ok(peer) if peer.uid() == rustix::process::geteuid().as_raw() || peer.uid() == 0 => {
                    return (stream, address);
                }
                Ok(peer) => warn!(uid = peer.uid(), "refused a connection of another user"),
                Err(error) => warn!(%error, "refused a connection of nobody"),
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}
