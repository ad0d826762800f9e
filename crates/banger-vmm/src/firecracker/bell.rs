//! The bell: the guest's agent opens a stream to this port of the host when it listens. Firecracker leads such streams to
//! `<channel socket>_<port>`; it is the only one that a guest finds.
//!
//! The stream stays open. It ends when this process ends, or when the guest loses all its streams, as in a machine that was
//! made from a snapshot: then the agent rings again.

use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use crate::machine::Listener;

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
                }
                Err(error) => {
                    // Out of descriptors: who waits for the agent tries without a ring.
                    banger_sys::shortage::note_if(&error);
                    warn!(%error, "cannot answer the bell of a guest");
                    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                }
            }
        }
    }))
}
