//! Whether the guest's agent is known to listen. It decides what the end of a stream before its `OK` means, and whether a
//! stream would last.

use tokio::sync::watch;

/// How the host learns that the agent is there.
#[derive(Clone, Debug)]
pub(crate) enum Presence {
    /// The channel socket waits for the agent by itself: who is refused is refused by the agent.
    Told,
    /// The VMM ends a stream to a guest in which nobody listens yet. The agent rings when it listens.
    Rung(watch::Sender<Listener>),
}

/// What is known of an agent that rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listener {
    /// It has not rung: it may not listen yet, or its ring was lost.
    Unknown,
    /// It listens.
    Listens,
    /// It listens, and all its streams are about to break: those too that open before it has rung again.
    LosesStreams,
}
