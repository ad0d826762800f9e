//! The daemon's socket: 0600 in a 0700 directory, and only this user's processes are heard.

use std::error::Error;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_sys::files::create_private_directory;
use banger_sys::shortage;
use banger_sys::socket::listen_async;
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::Signal;
use tracing::warn;

use crate::fault::chain;

/// Between two tries to take a connection, when the daemon has run out of something.
const PAUSE_FIRST: Duration = Duration::from_millis(10);
const PAUSE_LAST: Duration = Duration::from_secs(1);

/// A socket that only its owner may use.
#[derive(Debug)]
pub struct PrivateListener {
    listener: UnixListener,
    path: PathBuf,
    /// Which file the socket is: its device and number.
    file: (u64, u64),
    renewal: Option<Renewal>,
}

/// When and where a daemon listens anew.
pub struct Renewal {
    /// At each of these it looks after its socket.
    pub hangups: Signal,
    /// Where it listens if the socket's directory was removed and cannot be made again, as the user's runtime directory after
    /// the last logout.
    pub fallback: PathBuf,
    /// Told of the new place.
    pub moved: Box<dyn Fn(&Path) + Send + Sync>,
}

impl fmt::Debug for Renewal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Renewal").field("fallback", &self.fallback).finish_non_exhaustive()
    }
}

impl PrivateListener {
    /// Listens on `path`. The caller holds the daemon's lock, so a socket that is there already is dead.
    ///
    /// # Errors
    /// As `bind(2)`.
    pub fn bind(path: &Path) -> io::Result<Self> {
        // The directory is private, so nobody can come in before the mode is set.
        let listener = listen_async(path)?;
        Ok(Self { listener, path: path.to_owned(), file: file_at(path)?, renewal: None })
    }

    /// Looks after its socket: where that has vanished or was replaced, it listens on a new one.
    #[must_use]
    pub fn renewed_at(self, renewal: Renewal) -> Self {
        Self { renewal: Some(renewal), ..self }
    }

    fn renew(&mut self) {
        if file_at(&self.path).is_ok_and(|file| file == self.file) {
            return;
        }
        match self.bound_anew() {
            Ok(new) => {
                warn!(path = %new.path.display(), "the socket was gone; the daemon listens on a new one");
                let renewal = self.renewal.take();
                if let Some(renewal) = &renewal {
                    (renewal.moved)(&new.path);
                }
                *self = Self { renewal, ..new };
            }
            Err(error) => {
                warn!(path = %self.path.display(), error = chain(error.as_ref()), "cannot listen anew");
            }
        }
    }

    fn bound_anew(&self) -> Result<Self, Box<dyn Error>> {
        let error = match bind_in_private_directory(&self.path) {
            Ok(new) => return Ok(new),
            Err(error) => error,
        };
        match &self.renewal {
            Some(renewal) if renewal.fallback != self.path => bind_in_private_directory(&renewal.fallback),
            Some(_) | None => Err(error),
        }
    }
}

fn bind_in_private_directory(path: &Path) -> Result<PrivateListener, Box<dyn Error>> {
    if let Some(directory) = path.parent() {
        create_private_directory(directory)?;
    }
    Ok(PrivateListener::bind(path)?)
}

fn file_at(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

/// Waits for the next signal; for ever where none is expected.
async fn next(signals: Option<&mut Signal>) {
    if let Some(signals) = signals
        && signals.recv().await.is_some()
    {
        return;
    }
    std::future::pending::<()>().await;
}

impl PrivateListener {
    /// Waits for the next connection of this user. Nothing ends it: a daemon that has run out of something serves those
    /// that it has, and gets it back from them.
    pub(super) async fn accept(&mut self) -> UnixStream {
        let mut pause = PAUSE_FIRST;
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = next(self.renewal.as_mut().map(|renewal| &mut renewal.hangups)) => {
                    self.renew();
                    continue;
                }
            };
            match accepted {
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
