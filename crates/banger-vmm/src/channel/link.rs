//! Keeps a session with the guest: connects to the VMM's end of the pipe, shakes hands, and starts anew when the
//! session breaks.

use std::io;
use std::path::Path;
use std::time::Duration;

use banger_sys::socket;
use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, warn};

use super::handshake::{self, Past};
use super::session::Session;

/// Pause before the VMM is tried again: it listens for as long as it lives, so its end is about to be told.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Longest pause after sessions that ended because of what the guest sent.
const RETRY_PAUSE_LAST: Duration = Duration::from_secs(30);

/// A session that lasted this long says that the guest behaves.
const GOOD_SESSION: Duration = Duration::from_secs(30);

/// Runs until dropped.
pub(super) async fn keep(pipe_socket: &Path, mut past: Past, sessions: &watch::Sender<Option<Session>>) {
    let mut pause = RETRY_PAUSE;
    loop {
        let started = Instant::now();
        match socket::connect(pipe_socket).await {
            Ok(pipe) => {
                let error = keep_on(BufReader::new(pipe), past, sessions).await;
                debug!(%error, "the pipe to the guest broke");
                // A guest that ends one session after the other costs less and less; one that was lost is found at once.
                let was_short = sessions.borrow().is_some() && started.elapsed() < GOOD_SESSION;
                pause = if was_short { (pause * 2).min(RETRY_PAUSE_LAST) } else { RETRY_PAUSE };
            }
            Err(error) => debug!(%error, "the VMM does not take the pipe"),
        }
        sessions.send_replace(None);
        past = Past::Unknown;
        tokio::time::sleep(pause).await;
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
    sessions.send_replace(Some(session.clone()));
    let ended = driven.await;
    if let Some(offence) = session.offence() {
        warn!(%offence, "the session with the guest is closed");
    }
    match ended {
        Ok(error) => io::Error::other(error),
        Err(error) => io::Error::other(error),
    }
}
