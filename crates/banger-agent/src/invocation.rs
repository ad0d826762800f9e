//! How this program is started as the agent.

/// The first argument that makes this program the agent; the second is the init's program, or [`NO_INIT`].
pub const ARGUMENT: &str = "agent";

/// The third argument of an agent that takes the place of one that was killed.
pub const AGAIN: &str = "again";

/// The only argument with which the kernel starts this program when the agent has ended: what a release agent gets, the cgroup
/// that is empty.
pub const RELEASED: &str = "/agent";

/// The agent's name: systemd's last round of kills spares what starts with `@`.
pub(crate) const NAME: &str = "@banger-agent";

/// In place of the init's program: the first process only reaps.
pub const NO_INIT: &str = "-";

/// Which agent of its guest it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The first one.
    First,
    /// One in the place of another that was killed.
    Again,
}
