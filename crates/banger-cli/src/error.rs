//! Why a command failed, as the user reads it: one message with its causes, console lines where they tell more, the
//! next command to type. Each kind of work has an error of its own and says itself what it becomes here.

use std::error::Error;
use std::fmt::{self, Write as _};
use std::io;

use banger_api::{ErrorBody, ErrorCode};
use banger_client::{ClientError, GuestError};
use banger_guest::AgentError;
use banger_model::Hint;
use serde_json::{Value, json};

use crate::console_text::without_colours;
use crate::hint;
use crate::painted::{Colour, Paint, Painted};

/// Exit status when banger itself failed.
const FAILED: u8 = 1;
/// Exit status for invalid arguments.
pub(crate) const USAGE: u8 = 2;
/// Exit status when nobody reads stdout any more, as a shell tells a death by SIGPIPE.
const OUTPUT_CLOSED: u8 = 128 + 13;

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct CliError {
    kind: Kind,
    error: Box<dyn Error + Send + Sync>,
    /// The next command to type, or what to do.
    hint: Option<String>,
}

/// What a failure means to those who act on it.
#[derive(Debug)]
pub(crate) enum Kind {
    /// The arguments are invalid.
    Usage,
    /// The daemon refused, or an operation of it failed.
    Refused(Box<ErrorBody>),
    /// Something that was named does not exist.
    Missing,
    /// No answer came in time; the guest or the daemon may only be busy.
    Silent,
    /// A connection was lost.
    Lost,
    /// An answer cannot be read.
    Unreadable,
    /// A command in a guest could not be started; banger ends with this status.
    Command(u8),
    /// A signal interrupted the work; banger ends with this status.
    Interrupted(u8),
    /// Everything was told where it happened; banger ends with this status.
    Told(u8),
    /// Nobody reads stdout any more: nothing to tell, and nobody to tell it to.
    OutputClosed,
    /// Anything else.
    Failed,
}

impl CliError {
    /// Makes an error that means `kind`.
    pub(crate) fn new(kind: Kind, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind, error: error.into(), hint: None }
    }

    /// Makes an error on which nobody acts but the user.
    pub(crate) fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Kind::Failed, error)
    }

    /// Makes an error of what the daemon says.
    pub(crate) fn refused(body: ErrorBody) -> Self {
        let (message, hint) = (body.message.clone(), body.hint.as_ref().and_then(hint::words));
        Self::new(Kind::Refused(Box::new(body)), message).with_hint(hint)
    }

    /// Sorts a failed write to stdout.
    pub(crate) fn output(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::output_closed()
        } else {
            Self::failed(OutputError(error))
        }
    }

    /// Makes the error of a stdout that nobody reads.
    pub(crate) fn output_closed() -> Self {
        Self::new(Kind::OutputClosed, "")
    }

    /// Makes the error of a command whose failures were told where they happened.
    pub(crate) fn told() -> Self {
        Self::new(Kind::Told(FAILED), "")
    }

    /// Makes the error of a command after this one was told: that of a signal keeps its exit status.
    pub(crate) fn told_already(&self) -> Self {
        match self.kind {
            Kind::Interrupted(status) => Self::new(Kind::Told(status), ""),
            Kind::Usage
            | Kind::Refused(_)
            | Kind::Missing
            | Kind::Silent
            | Kind::Lost
            | Kind::Unreadable
            | Kind::Command(_)
            | Kind::Told(_)
            | Kind::OutputClosed
            | Kind::Failed => Self::told(),
        }
    }

    /// Adds the next command to type, or what to do.
    pub(crate) fn with_hint(self, hint: impl Into<Option<String>>) -> Self {
        Self { hint: hint.into(), ..self }
    }

    /// Leaves out the hint: what it is about does not exist any more.
    pub(crate) fn without_hint(self) -> Self {
        Self { hint: None, ..self }
    }

    #[cfg(test)]
    pub(crate) fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    pub(crate) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Returns whether the daemon took a word for an image that may have been meant as a command.
    pub(crate) fn may_mean_a_command(&self) -> bool {
        self.body().is_some_and(|body| matches!(body.hint, Some(Hint::RunAsCommand { .. })))
    }

    /// Returns whether something that was named does not exist.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self.kind, Kind::Missing) || self.is_refused_as(ErrorCode::NotFound)
    }

    /// Returns whether it is about the talk with a guest's agent.
    pub(crate) fn is_of_agent(&self) -> bool {
        self.error.is::<AgentError>()
    }

    pub(crate) fn exit_status(&self) -> u8 {
        match &self.kind {
            Kind::Usage => USAGE,
            Kind::Command(status) | Kind::Interrupted(status) | Kind::Told(status) => *status,
            Kind::OutputClosed => OUTPUT_CLOSED,
            Kind::Refused(_)
            | Kind::Missing
            | Kind::Silent
            | Kind::Lost
            | Kind::Unreadable
            | Kind::Failed => FAILED,
        }
    }

    /// Returns it as a part of JSON.
    pub(crate) fn to_json(&self) -> Value {
        match self.body() {
            Some(body) => json!(body),
            None => json!({ "message": chain(self) }),
        }
    }

    /// Returns whether the daemon refused with this code.
    pub(crate) fn is_refused_as(&self, code: ErrorCode) -> bool {
        self.body().is_some_and(|body| body.code == code)
    }

    fn body(&self) -> Option<&ErrorBody> {
        match &self.kind {
            Kind::Refused(body) => Some(body),
            Kind::Usage
            | Kind::Missing
            | Kind::Silent
            | Kind::Lost
            | Kind::Unreadable
            | Kind::Command(_)
            | Kind::Interrupted(_)
            | Kind::Told(_)
            | Kind::OutputClosed
            | Kind::Failed => None,
        }
    }

    /// Draws the error; empty when there is nothing to tell.
    pub(crate) fn draw(&self, about: Option<&str>, colour: Colour) -> Painted {
        if matches!(self.kind, Kind::Told(_) | Kind::OutputClosed) {
            return Painted::default();
        }
        let mut text = Painted::default().paint(colour, Paint::Red, "banger:").push(" ");
        if let Some(about) = about {
            text = text.push(about).push(": ");
        }
        text = text.message(&chain(self));
        // It finds the lines of the daemon's log, which say nothing new about a refusal.
        let failed = self.body().filter(|body| body.code == ErrorCode::OperationFailed);
        if let Some(op_id) = failed.and_then(|body| body.op_id.as_deref()) {
            text = text.push(" ").paint(colour, Paint::Dim, &format!("({op_id})"));
        }
        text = text.end_line();
        for line in self.body().map(|body| body.console.as_slice()).unwrap_or_default() {
            text = text.push("    ").push(&without_colours(line)).end_line();
        }
        text.hint(self.hint.as_deref())
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(formatter)
    }
}

impl Error for CliError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

/// Stdout takes nothing, and it is not closed.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to stdout")]
struct OutputError(#[source] io::Error);

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        let (kind, hint) = match error {
            ClientError::Refused(body) => return Self::refused(*body),
            ClientError::Silent { .. } => (
                Kind::Silent,
                Some("if this continues, stop the daemon; VMs keep running: banger daemon stop --force"),
            ),
            ClientError::Broken { .. } => {
                (Kind::Lost, Some("VMs keep running without the daemon; see `banger vm list`"))
            }
            ClientError::Unreadable { .. } => (Kind::Unreadable, None),
            ClientError::NotReachable { .. } | ClientError::Unwritable { .. } => (Kind::Failed, None),
        };
        Self::new(kind, error).with_hint(hint.map(str::to_owned))
    }
}

impl From<GuestError> for CliError {
    fn from(error: GuestError) -> Self {
        match error {
            GuestError::Client(error) => error.into(),
            GuestError::Agent(error) => error.into(),
        }
    }
}

impl From<AgentError> for CliError {
    fn from(error: AgentError) -> Self {
        let (kind, hint) = match &error {
            AgentError::Silent { .. } => {
                (Kind::Silent, Some("the guest hangs or is very busy; see `banger vm logs`"))
            }
            AgentError::Stalled { .. } => {
                (Kind::Silent, Some("the guest hangs or is very busy; see `banger vm list`"))
            }
            AgentError::Broken { .. } | AgentError::NoExit => {
                (Kind::Lost, Some("the VM may still be running; see `banger vm list`"))
            }
            AgentError::VersionMismatch { .. } => (
                Kind::Failed,
                Some("pull the image again with `banger image pull --force`, then make a new VM"),
            ),
            AgentError::Outdated { .. } => (Kind::Failed, Some("restart the VM to update its agent")),
            AgentError::Handshake { .. }
            | AgentError::TooLong { .. }
            | AgentError::Refused { .. }
            | AgentError::NotAsked { .. }
            | AgentError::TreeCutOff
            | AgentError::BadPath { .. }
            | AgentError::UnknownReply => (Kind::Failed, None),
        };
        Self::new(kind, error).with_hint(hint.map(str::to_owned))
    }
}

/// Joins the messages of an error and its causes; a cause that only repeats what was said is left out.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !message.is_empty() && !text.contains(&message) {
            let _ = write!(text, ": {message}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
