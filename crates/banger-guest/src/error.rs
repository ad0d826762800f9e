//! Failures of calls to the agent.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use tonic::{Code, Status};

use crate::words::sentence;

/// The reason why a call to the agent has no result.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum AgentError {
    #[error("the guest did not answer `{call}` within {} s", .deadline.as_secs_f32())]
    Silent { call: &'static str, deadline: Duration },
    #[error(
        "banger {host_version} speaks version {} of the guest protocol, the guest's agent {agent_version} speaks {}",
        list(ours),
        list(theirs)
    )]
    VersionMismatch { host_version: String, ours: Vec<u32>, agent_version: String, theirs: Vec<u32> },
    #[error("cannot connect to the guest's agent")]
    Handshake { source: hyper::Error },
    /// The connection ended, or carried something that is not a valid answer.
    #[error("the connection to the guest was lost during `{call}`")]
    Broken { call: &'static str, source: BrokenCause },
    /// The answer is longer than the host accepts.
    #[error("the guest's answer to `{call}` is too long")]
    TooLong { call: &'static str },
    /// The agent refused the request.
    #[error("the guest refuses `{call}`: {message}")]
    Refused { call: &'static str, message: String },
    /// The agent is older than this banger: a guest keeps the agent that it was booted with.
    #[error("the guest's agent is older than this banger and does not know `{call}`")]
    Outdated { call: &'static str },
    #[error("the transfer stalled for {} s", .silence.as_secs())]
    Stalled {
        /// How long nothing was transferred.
        silence: Duration,
    },
    /// The tree that arrived is not the requested one, so the guest is hostile or broken.
    #[error("the guest did not send what was asked for")]
    NotAsked { source: banger_tree::ArrivalError },
    /// The tree ended before it was complete.
    #[error("the data from the guest is incomplete")]
    TreeCutOff,
    /// A file cannot have this path.
    #[error("there is no `{}`", path.display())]
    BadPath { path: std::path::PathBuf, source: banger_tree::NameError },
    /// The command's stream ended before its result.
    #[error("the guest did not report how the command ended")]
    NoExit,
    /// The command's stream carried a message that this version does not know.
    #[error("the guest sent a message that this version of banger does not know")]
    UnknownReply,
}

impl AgentError {
    /// Converts an unsuccessful answer. An error of the transport has a cause, an error of the agent has none.
    pub(crate) fn from_status(call: &'static str, deadline: Option<Duration>, status: Status) -> Self {
        match (status.code(), deadline) {
            (Code::DeadlineExceeded, Some(deadline)) => Self::Silent { call, deadline },
            (Code::Unimplemented, _) => Self::Outdated { call },
            // The agent never uses this code: our own decoder refuses answers that are too long.
            (Code::OutOfRange, _) => Self::TooLong { call },
            _ if status.source().is_some() => Self::Broken { call, source: BrokenCause(Box::new(status)) },
            // The agent never uses these two codes: the runtime is shutting down, or the stream was reset.
            (Code::Unavailable | Code::Cancelled, _) => {
                Self::Broken { call, source: BrokenCause(Box::new(status)) }
            }
            _ => Self::Refused { call, message: sentence(status.message().to_owned()) },
        }
    }
}

/// The cause of a broken connection, in the words of the innermost error.
#[derive(Debug)]
pub struct BrokenCause(Box<Status>);

impl fmt::Display for BrokenCause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The outer errors format their causes as debug text, so only the innermost one is readable.
        let mut cause = self.0.source();
        while let Some(deeper) = cause.and_then(Error::source) {
            cause = Some(deeper);
        }
        match cause {
            Some(cause) => write!(formatter, "{cause}"),
            None => formatter.write_str(&sentence(self.0.message().to_owned())),
        }
    }
}

impl Error for BrokenCause {}

/// Maximum number of versions in a message.
const VERSIONS_MAX: usize = 8;

fn list(versions: &[u32]) -> String {
    if versions.is_empty() {
        return "none".to_owned();
    }
    let rest = if versions.len() > VERSIONS_MAX { ", …" } else { "" };
    versions.iter().take(VERSIONS_MAX).map(u32::to_string).collect::<Vec<_>>().join(", ") + rest
}
