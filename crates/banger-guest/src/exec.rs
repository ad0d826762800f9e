//! One command in the guest. Its input waits in a short queue, its output in the connection's window, so neither side can
//! flood the other. Dropping the output half, or the whole session, ends the command.

use banger_agent_proto::agent_client::AgentClient as Generated;
use banger_agent_proto::exec_exited::Outcome;
use banger_agent_proto::exec_reply::Reply;
use banger_agent_proto::exec_request::Request;
use banger_agent_proto::{ExecReply, ExecRequest, ExecStart, StdinEnd, WindowSize, exec_failed};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::AgentError;
use crate::connection::Connection;
use crate::words::sentence;

/// Maximum number of queued messages to the command.
const INPUT_QUEUE_MAX: usize = 8;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitOutcome {
    /// It exited with this status.
    Code(u8),
    /// It was killed by this signal.
    Signal(i32),
}

/// An event of a command. The last one is `Exited` or `Failed`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say what the fields are")]
pub enum ExecEvent {
    /// The command runs.
    Started {
        /// Its process ID in the guest.
        pid: u32,
    },
    /// Bytes that it wrote to stdout; on a terminal all output arrives here.
    Stdout(Bytes),
    /// Bytes that it wrote to stderr.
    Stderr(Bytes),
    /// The command ended.
    Exited(ExitOutcome),
    /// The command could not be started.
    Failed {
        reason: exec_failed::Reason,
        /// One sentence for the user.
        message: String,
    },
}

/// The command has ended, so nothing more can be sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the command takes no more input")]
pub struct InputClosed;

/// A running command.
#[derive(Debug)]
pub struct ExecSession {
    input: ExecInput,
    output: ExecOutput,
}

impl ExecSession {
    pub(crate) async fn open(mut grpc: Generated<Connection>, start: ExecStart) -> Result<Self, AgentError> {
        let (sender, receiver) = mpsc::channel(INPUT_QUEUE_MAX);
        let input = ExecInput { sender };
        // The queue is empty and its receiver is held here, so this can neither fail nor wait.
        let _ = input.send(Request::Start(start)).await;
        let response = grpc
            .exec(ReceiverStream::new(receiver))
            .await
            .map_err(|status| AgentError::from_status("exec", None, status))?;
        let mut output =
            ExecOutput { replies: response.into_inner(), first: None, is_finished: false, note: None };
        output.first = Some(output.receive().await?);
        Ok(Self { input, output })
    }

    /// Splits the session into its two halves.
    #[must_use]
    pub fn split(self) -> (ExecInput, ExecOutput) {
        (self.input, self.output)
    }

    /// Returns the input half.
    #[must_use]
    pub fn input(&self) -> &ExecInput {
        &self.input
    }

    /// Returns the next event; `None` after the last one.
    ///
    /// # Errors
    /// [`AgentError`] if the guest or the connection fails.
    pub async fn next(&mut self) -> Result<Option<ExecEvent>, AgentError> {
        self.output.next().await
    }
}

/// The input half of a command. Clones feed the same command.
#[derive(Clone, Debug)]
pub struct ExecInput {
    sender: mpsc::Sender<ExecRequest>,
}

impl ExecInput {
    /// Sends bytes to stdin; waits while the command does not read.
    ///
    /// # Errors
    /// [`InputClosed`].
    pub async fn stdin(&self, bytes: Bytes) -> Result<(), InputClosed> {
        self.send(Request::Stdin(bytes)).await
    }

    /// Closes stdin.
    ///
    /// # Errors
    /// [`InputClosed`].
    pub async fn stdin_end(&self) -> Result<(), InputClosed> {
        self.send(Request::StdinEnd(StdinEnd {})).await
    }

    /// Changes the size of the terminal.
    ///
    /// # Errors
    /// [`InputClosed`].
    pub async fn resize(&self, columns: u32, rows: u32) -> Result<(), InputClosed> {
        self.send(Request::Resize(WindowSize { columns, rows })).await
    }

    /// Sends a Linux signal to the process group.
    ///
    /// # Errors
    /// [`InputClosed`].
    pub async fn signal(&self, signal: u32) -> Result<(), InputClosed> {
        self.send(Request::Signal(signal)).await
    }

    async fn send(&self, request: Request) -> Result<(), InputClosed> {
        let request = ExecRequest { request: Some(request) };
        self.sender.send(request).await.map_err(|_unsent| InputClosed)
    }
}

/// The output half of a command. Dropping it ends the command.
#[derive(Debug)]
pub struct ExecOutput {
    replies: Streaming<ExecReply>,
    first: Option<ExecEvent>,
    is_finished: bool,
    note: Option<String>,
}

impl ExecOutput {
    /// Returns the next event; `None` after the last one. Can be cancelled without losing an event.
    ///
    /// # Errors
    /// [`AgentError`] if the guest or the connection fails.
    pub async fn next(&mut self) -> Result<Option<ExecEvent>, AgentError> {
        if self.is_finished {
            return Ok(None);
        }
        let event = match self.first.take() {
            Some(event) => event,
            None => self.receive().await?,
        };
        self.is_finished = matches!(event, ExecEvent::Exited(_) | ExecEvent::Failed { .. });
        Ok(Some(event))
    }

    /// Returns the guest's remark about the reported end, if there is one: a sentence of the guest's.
    #[must_use]
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    async fn receive(&mut self) -> Result<ExecEvent, AgentError> {
        let message = self.replies.message().await;
        let message = message.map_err(|status| AgentError::from_status("exec", None, status))?;
        let reply = message.ok_or(AgentError::NoExit)?.reply.ok_or(AgentError::UnknownReply)?;
        match reply {
            Reply::Started(started) => Ok(ExecEvent::Started { pid: started.pid }),
            Reply::Stdout(bytes) => Ok(ExecEvent::Stdout(bytes)),
            Reply::Stderr(bytes) => Ok(ExecEvent::Stderr(bytes)),
            Reply::Exited(exited) => {
                self.note = Some(sentence(exited.note)).filter(|note| !note.is_empty());
                outcome(exited.outcome).map(ExecEvent::Exited)
            }
            Reply::Failed(failed) => {
                Ok(ExecEvent::Failed { reason: failed.reason(), message: sentence(failed.message) })
            }
        }
    }
}

pub(crate) fn outcome(outcome: Option<Outcome>) -> Result<ExitOutcome, AgentError> {
    let unknown = |_error| AgentError::UnknownReply;
    match outcome {
        Some(Outcome::Code(code)) => u8::try_from(code).map(ExitOutcome::Code).map_err(unknown),
        Some(Outcome::Signal(signal)) => i32::try_from(signal).map(ExitOutcome::Signal).map_err(unknown),
        None => Err(AgentError::UnknownReply),
    }
}
