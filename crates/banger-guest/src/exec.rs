//! One command in the guest. What goes in waits in a short queue, what comes out in the connection's window: neither
//! side can flood the other. Dropping the output half, or the whole session, ends the command.

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

/// Messages to the command that may wait.
const INPUT_QUEUE_MAX: usize = 8;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitOutcome {
    /// By itself, with this status.
    Code(u8),
    /// By this signal.
    Signal(i32),
}

/// What comes from a command. The last event is `Exited` or `Failed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecEvent {
    /// It runs.
    Started {
        /// Its process in the guest.
        pid: u32,
    },
    /// It wrote to stdout; on a terminal everything comes here.
    Stdout(Bytes),
    /// It wrote to stderr.
    Stderr(Bytes),
    /// It ended.
    Exited(ExitOutcome),
    /// It could not be started.
    Failed {
        /// Why.
        reason: exec_failed::Reason,
        /// One sentence.
        message: String,
    },
}

/// The command has ended: nothing more can be sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the command takes no more input")]
pub struct InputClosed;

/// One command.
#[derive(Debug)]
pub struct ExecSession {
    input: ExecInput,
    output: ExecOutput,
}

impl ExecSession {
    pub(crate) async fn open(mut grpc: Generated<Connection>, start: ExecStart) -> Result<Self, AgentError> {
        let (sender, receiver) = mpsc::channel(INPUT_QUEUE_MAX);
        let input = ExecInput { sender };
        // The queue is empty and its other end is held here: this cannot fail or wait.
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

    /// Returns the two halves.
    #[must_use]
    pub fn split(self) -> (ExecInput, ExecOutput) {
        (self.input, self.output)
    }

    /// Returns the half that sends.
    #[must_use]
    pub fn input(&self) -> &ExecInput {
        &self.input
    }

    /// Returns what happens next; `None` after the last event.
    ///
    /// # Errors
    /// [`AgentError`] when the guest or the connection fails.
    pub async fn next(&mut self) -> Result<Option<ExecEvent>, AgentError> {
        self.output.next().await
    }
}

/// What goes to a command. Clones feed the same command.
#[derive(Clone, Debug)]
pub struct ExecInput {
    sender: mpsc::Sender<ExecRequest>,
}

impl ExecInput {
    /// Sends bytes to its stdin; waits while it does not read.
    ///
    /// # Errors
    /// [`InputClosed`].
    pub async fn stdin(&self, bytes: Bytes) -> Result<(), InputClosed> {
        self.send(Request::Stdin(bytes)).await
    }

    /// Tells it that there is no more input.
    ///
    /// # Errors
    /// [`InputClosed`].
    pub async fn stdin_end(&self) -> Result<(), InputClosed> {
        self.send(Request::StdinEnd(StdinEnd {})).await
    }

    /// Changes the size of its terminal.
    ///
    /// # Errors
    /// [`InputClosed`].
    pub async fn resize(&self, columns: u32, rows: u32) -> Result<(), InputClosed> {
        self.send(Request::Resize(WindowSize { columns, rows })).await
    }

    /// Sends a Linux signal to its process group.
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

/// What comes from a command. Dropping it ends the command.
#[derive(Debug)]
pub struct ExecOutput {
    replies: Streaming<ExecReply>,
    first: Option<ExecEvent>,
    is_finished: bool,
    note: Option<String>,
}

impl ExecOutput {
    /// Returns what happens next; `None` after the last event. Can be given up half-way without losing an event.
    ///
    /// # Errors
    /// [`AgentError`] when the guest or the connection fails.
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

    /// Returns what the guest has to say about an end that was told: a sentence, in the guest's words.
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

fn outcome(outcome: Option<Outcome>) -> Result<ExitOutcome, AgentError> {
    let unknown = |_error| AgentError::UnknownReply;
    match outcome {
        Some(Outcome::Code(code)) => u8::try_from(code).map(ExitOutcome::Code).map_err(unknown),
        Some(Outcome::Signal(signal)) => i32::try_from(signal).map(ExitOutcome::Signal).map_err(unknown),
        None => Err(AgentError::UnknownReply),
    }
}
