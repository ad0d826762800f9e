//! The arguments with which this program is started as the agent.

/// The first argument that makes this program the agent; the second is the init's program, or [`NO_INIT`].
pub const ARGUMENT: &str = "agent";

/// The third argument of an agent that replaces one that was killed.
pub const AGAIN: &str = "again";

/// The only argument with which the kernel starts this program when the agent has ended: a release agent receives the empty
/// cgroup.
pub const RELEASED: &str = "/agent";

/// The agent's name: systemd's final round of kills spares processes whose name starts with `@`.
pub(crate) const NAME: &str = "@banger-agent";

/// Given in place of the init's program if the first process only reaps.
pub const NO_INIT: &str = "-";

/// Whether an agent is the first of its guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The first agent.
    First,
    /// An agent that replaces one that was killed.
    Again,
}
