//! The bell: the guest's agent opens a stream to this port of the host when it listens. Firecracker leads such streams to
//! `<channel socket>_<port>`; it is the only one that a guest finds.
//!
//! The stream stays open. It ends when this process ends, or when the guest loses all its streams, as in a machine that was
//! made from a snapshot: then the agent rings again.

use std::time::Duration;

use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use crate::machine::Listener;

/// How long after a ring the next one is looked at. An agent rings once; a guest that rings without end costs its VMM work, and the
/// daemon next to none.
const PAUSE: Duration = Duration::from_millis(50);

/// Answers the bell for as long as the handle is held, and notes each ring.
pub(super) fn answer(listener: UnixListener, bell: watch::Sender<Listener>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut latest = None;
        loop {
            match listener.accept().await {
                // The stream says nothing: that it was opened is the message. One agent has one.
                Ok((ring, _guest)) => {
                    bell.send_replace(Listener::Listens);
                    drop(latest.replace(ring));
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => {
                    // Out of descriptors: who waits for the agent tries without a ring.
                    banger_sys::shortage::note_if(&error);
                    warn!(%error, "cannot accept a guest's announcement that its agent listens");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::UnixStream;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_guest_that_rings_without_end_is_answered_a_few_times_a_second() {
        const RINGS: u32 = 40;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bell");
        let bell = watch::Sender::new(Listener::Unknown);
        let mut heard = bell.subscribe();
        let begin = Instant::now();
        let _answering = answer(UnixListener::bind(&path).unwrap(), bell);
        let mut rings = Vec::new();
        for _ in 0..RINGS {
            rings.push(UnixStream::connect(&path).await.unwrap());
        }
        heard.wait_for(|listener| *listener == Listener::Listens).await.unwrap();
        assert!(begin.elapsed() < PAUSE, "the first is heard at once");
        // Each but the last ends when the next one is answered.
        rings.pop();
        for mut ring in rings {
            assert_eq!(ring.read(&mut [0]).await.unwrap(), 0);
        }
        assert!(begin.elapsed() >= PAUSE * (RINGS - 1));
    }
}
