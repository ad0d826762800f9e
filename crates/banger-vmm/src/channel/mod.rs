//! The guest channel over one pipe: what the rest of the product sees as `channel.sock` with `CONNECT <port>\n`.
//!
//! ```text
//! callers ─▶ channel.sock ─ doorman ─┐                        ┌─▶ virtio-serial ─▶ agent
//!            (one task per caller)   ├─▶ session (yamux) ─ pipe
//!                                    ┘    └ link: connects, shakes hands, starts anew when a session breaks
//! ```
//! Nothing polls: the opening of the handshake waits in the pipe until the guest opens its end, callers wait for a
//! session. What a guest sends is judged before it is kept ([`conduct`]): it opens no stream, and what its streams hold is
//! bounded for all of them together.

mod conduct;
mod doorman;
mod frames;
mod handshake;
mod link;
mod screen;
mod session;
mod stream;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub(crate) use handshake::Past;

/// Serves the listener until the machine ends or the handle is dropped. `pipe_socket` is the VMM's end of the pipe.
pub(crate) fn serve(
    listener: UnixListener,
    pipe_socket: PathBuf,
    past: Past,
    machine_end: CancellationToken,
) -> AbortOnDropHandle<()> {
    let (sessions, current) = watch::channel(None);
    AbortOnDropHandle::new(tokio::spawn(async move {
        tokio::select! {
            () = machine_end.cancelled() => {}
            () = link::keep(&pipe_socket, past, &sessions) => {}
            () = doorman::receive(listener, current) => {}
        }
    }))
}
