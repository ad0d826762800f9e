//! What a guest tells of the VM's command: its begin, its output and its end, in this order.

use banger_agent_proto::follow_command_reply::Reply;
use banger_agent_proto::{FollowCommandReply, FollowCommandRequest};
use bytes::Bytes;
use tonic::Streaming;

use crate::exec::outcome;
use crate::words::sentence;
use crate::{AgentClient, AgentError, ExitOutcome};

/// Maximum number of bytes of arguments. Agents send at most as many.
const ARGV_BYTES_MAX: usize = 4096;

/// What the host has of a command already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say what the fields are")]
pub struct CommandPosition {
    pub started_unix_nanos: u64,
    pub output_bytes: u64,
}

/// News of the VM's command.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say what the fields are")]
pub enum CommandNews {
    /// The agent knows of no command. An agent that was started again does not know about those before.
    None,
    /// What follows is about this command.
    Begun { argv: Vec<String>, started_unix_nanos: u64 },
    /// Output at a position; what is missing before it is lost.
    Output { offset: u64, bytes: Bytes },
    /// The command ended. A note is a sentence of the guest's.
    Exited { outcome: ExitOutcome, note: Option<String> },
}

/// A stream of news, until the machine or the agent ends.
#[derive(Debug)]
pub struct CommandFeed {
    replies: Streaming<FollowCommandReply>,
}

impl AgentClient {
    /// Follows the VM's command; `None` if the agent is too old for it.
    ///
    /// # Errors
    /// [`AgentError`].
    pub async fn follow_command(&self, has: CommandPosition) -> Result<Option<CommandFeed>, AgentError> {
        let request = FollowCommandRequest {
            started_unix_nanos: has.started_unix_nanos,
            output_bytes: has.output_bytes,
        };
        match self.streaming().follow_command(request).await {
            Ok(response) => Ok(Some(CommandFeed { replies: response.into_inner() })),
            Err(status) if status.code() == tonic::Code::Unimplemented => Ok(None),
            Err(status) => Err(AgentError::from_status("follow_command", None, status)),
        }
    }
}

impl CommandFeed {
    /// Waits for the next piece of news.
    ///
    /// # Errors
    /// [`AgentError`] if the guest or the connection fails; the stream does not end otherwise.
    pub async fn next(&mut self) -> Result<CommandNews, AgentError> {
        let message = self.replies.message().await;
        let message = message.map_err(|status| AgentError::from_status("follow_command", None, status))?;
        match message.and_then(|message| message.reply).ok_or(AgentError::UnknownReply)? {
            Reply::None(_) => Ok(CommandNews::None),
            Reply::Begun(begun) => Ok(CommandNews::Begun {
                argv: texts(&begun.argv),
                started_unix_nanos: begun.started_unix_nanos,
            }),
            Reply::Output(output) => Ok(CommandNews::Output { offset: output.offset, bytes: output.bytes }),
            Reply::Exited(exited) => Ok(CommandNews::Exited {
                outcome: outcome(exited.outcome)?,
                note: Some(sentence(exited.note)).filter(|note| !note.is_empty()),
            }),
        }
    }
}

fn texts(argv: &[Bytes]) -> Vec<String> {
    let mut left = ARGV_BYTES_MAX;
    let fits = |argument: &&Bytes| {
        let fits = argument.len() < left;
        left = left.saturating_sub(argument.len() + 1);
        fits
    };
    argv.iter().take_while(fits).map(|argument| String::from_utf8_lossy(argument).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_that_sends_endless_arguments_is_cut_short() {
        assert_eq!(texts(&["a".into(), Bytes::from_static(b"\xff")]), ["a", "\u{fffd}"]);
        assert_eq!(texts(&vec![Bytes::new(); 100_000]).len(), ARGV_BYTES_MAX);
    }
}
