//! The bell: the guest's agent opens a stream to this port of the host when it listens. Firecracker leads such streams to
//! `<channel socket>_<port>`; it is the only one that a guest finds.

use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

/// Answers the bell for as long as the handle is held. Rung once, the agent counts as being there.
pub(super) fn answer(listener: UnixListener) -> (watch::Receiver<bool>, AbortOnDropHandle<()>) {
    let (rings, rung) = watch::channel(false);
    let task = tokio::spawn(async move {
        loop {
            match listener.accept().await {
                // The stream says nothing: that it was opened is the message.
                Ok(_ring) => {
                    rings.send_replace(true);
                }
                Err(error) => {
                    // Out of descriptors: who waits for the agent tries without a ring.
                    banger_sys::shortage::note_if(&error);
                    warn!(%error, "cannot answer the bell of a guest");
                    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                }
            }
        }
    });
    (rung, AbortOnDropHandle::new(task))
}
