//! Why the agent gave no result.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use tonic::{Code, Status};

use crate::words::sentence;

/// Why a call of the agent had no result.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The agent did not answer in time.
    #[error("the guest did not answer `{call}` within {} s", .deadline.as_secs_f32())]
    Silent {
        /// What was asked.
        call: &'static str,
        /// What it was given.
        deadline: Duration,
    },
    /// Host and guest have no version of the protocol in common.
    #[error(
        "banger {host_version} speaks version {} of the guest protocol, the guest's agent {agent_version} speaks {}",
        list(ours),
        list(theirs)
    )]
    VersionMismatch {
        /// Our program's version.
        host_version: String,
        /// Versions that we speak.
        ours: Vec<u32>,
        /// The agent's version.
        agent_version: String,
        /// Versions that it speaks.
        theirs: Vec<u32>,
    },
    /// The stream could not be made a connection.
    #[error("cannot connect to the guest's agent")]
    Handshake {
        /// Why.
        source: hyper::Error,
    },
    /// The connection ended, or carried what is no answer.
    #[error("the connection to the guest was lost during `{call}`")]
    Broken {
        /// What was asked.
        call: &'static str,
        /// Why.
        source: BrokenCause,
    },
    /// The answer is longer than any that an agent gives.
    #[error("the guest's answer to `{call}` is too long")]
    TooLong {
        /// What was asked.
        call: &'static str,
    },
    /// The agent said no.
    #[error("the guest refuses `{call}`: {message}")]
    Refused {
        /// What was asked.
        call: &'static str,
        /// Its sentence.
        message: String,
    },
    /// The agent is of an older banger: guests keep the agent that they were booted with.
    #[error("the guest's agent is older than this banger and does not know `{call}`")]
    Outdated {
        /// What was asked.
        call: &'static str,
    },
    /// A transfer does not go on.
    #[error("the transfer stalled for {} s", .silence.as_secs())]
    Stalled {
        /// How long nothing came or went.
        silence: Duration,
    },
    /// What came is not the tree that was asked for. The guest lies, or is broken.
    #[error("the guest did not send what was asked for")]
    NotAsked {
        /// What is wrong with it.
        source: banger_tree::ArrivalError,
    },
    /// A tree ended before it was whole.
    #[error("the data from the guest is incomplete")]
    TreeCutOff,
    /// No file can have this path.
    #[error("there is no `{}`", path.display())]
    BadPath {
        /// What was asked for.
        path: std::path::PathBuf,
        /// Why.
        source: banger_tree::NameError,
    },
    /// The command's stream ended before its result.
    #[error("the guest did not report how the command ended")]
    NoExit,
    /// The command's stream carried a message that this version does not know.
    #[error("the guest sent a message that this version of banger does not know")]
    UnknownReply,
}

impl AgentError {
    /// Sorts an unsuccessful answer: what the transport made up has a cause, what the agent said has none.
    pub(crate) fn from_status(call: &'static str, deadline: Option<Duration>, status: Status) -> Self {
        match (status.code(), deadline) {
            (Code::DeadlineExceeded, Some(deadline)) => Self::Silent { call, deadline },
            (Code::Unimplemented, _) => Self::Outdated { call },
            // The agent never uses it: our own decoder refuses what is too long.
            (Code::OutOfRange, _) => Self::TooLong { call },
            _ if status.source().is_some() => Self::Broken { call, source: BrokenCause(Box::new(status)) },
            // The agent never uses these two: its runtime is going away, or the stream was reset.
            (Code::Unavailable | Code::Cancelled, _) => {
                Self::Broken { call, source: BrokenCause(Box::new(status)) }
            }
            _ => Self::Refused { call, message: sentence(status.message().to_owned()) },
        }
    }
}

/// What broke a connection: the first cause, in its own words.
#[derive(Debug)]
pub struct BrokenCause(Box<Status>);

impl fmt::Display for BrokenCause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The status and what is between tell their causes as debug text, so only the end of the chain is for people.
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

/// Versions that are listed.
const VERSIONS_MAX: usize = 8;

fn list(versions: &[u32]) -> String {
    if versions.is_empty() {
        return "none".to_owned();
    }
    let rest = if versions.len() > VERSIONS_MAX { ", …" } else { "" };
    versions.iter().take(VERSIONS_MAX).map(u32::to_string).collect::<Vec<_>>().join(", ") + rest
}
