//! Whether the guest's agent is known to listen. It decides what the end of a stream before its `OK` means.

use tokio::sync::watch;

/// How the host learns that the agent is there.
#[derive(Clone, Debug)]
pub(crate) enum Presence {
    /// The channel socket waits for the agent by itself: who is refused is refused by the agent.
    Told,
    /// The VMM ends a stream to a guest in which nobody listens yet. The agent rings when it listens.
    Rung(watch::Receiver<bool>),
}
