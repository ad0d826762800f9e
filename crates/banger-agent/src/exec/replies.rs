//! The way of a command's replies to the host.

use banger_agent_proto::ExecReply;
use tokio::sync::mpsc;
use tonic::Status;

/// Where replies go. Bounded: see [`REPLIES_MAX`].
pub(crate) type ReplySender = mpsc::Sender<Result<ExecReply, Status>>;

/// Replies that wait for the host. With the chunks of [`super::output`] this is what one command may hold in memory.
pub(crate) const REPLIES_MAX: usize = 8;
