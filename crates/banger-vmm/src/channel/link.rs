//! Keeps a session with the guest: connects to the VMM's end of the pipe, shakes hands, and starts anew when the
//! session breaks.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

use super::handshake::{self, Past};
use super::session::Session;

/// Pause before the VMM is tried again: it listens for as long as it lives, so its end is about to be told.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Runs until dropped.
pub(super) async fn keep(pipe_socket: &Path, mut past: Past, sessions: &watch::Sender<Option<Session>>) {
    loop {
        match UnixStream::connect(pipe_socket).await {
            Ok(pipe) => {
                let error = keep_on(BufReader::new(pipe), past, sessions).await;
                debug!(%error, "the pipe to the guest broke");
            }
            Err(error) => debug!(%error, "the VMM does not take the pipe"),
        }
        sessions.send_replace(None);
        past = Past::Unknown;
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

/// Runs one session on a fresh pipe. A broken session gives up its pipe: the VMM takes the next one.
async fn keep_on(
    mut pipe: BufReader<UnixStream>,
    past: Past,
    sessions: &watch::Sender<Option<Session>>,
) -> io::Error {
    if let Err(error) = handshake::shake(&mut pipe, past).await {
        return error;
    }
    let (session, driven) = Session::start(pipe);
    // In a task of its own: should the multiplexer panic over what a guest sends, it is a broken session and no more.
    let driven = AbortOnDropHandle::new(tokio::spawn(driven));
    sessions.send_replace(Some(session));
    match driven.await {
        Ok(error) => io::Error::other(error),
        Err(error) => io::Error::other(error),
    }
}
