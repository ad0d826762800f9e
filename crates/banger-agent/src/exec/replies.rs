//! The queue of a command's replies to the host.

use banger_agent_proto::ExecReply;
use tokio::sync::mpsc;
use tonic::Status;

/// The destination of replies. Bounded: see [`REPLIES_MAX`].
pub(crate) type ReplySender = mpsc::Sender<Result<ExecReply, Status>>;

/// Maximum number of replies that wait for the host. With the chunks of [`super::output`], this bounds the memory of one
/// command.
pub(crate) const REPLIES_MAX: usize = 8;
