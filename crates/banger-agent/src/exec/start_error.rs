//! The reasons why a command did not start, worded for the user: each names the program or the directory.

use std::{io, path::PathBuf};

use banger_agent_proto::{ExecFailed, exec_failed::Reason};

use super::plan::PlanError;
use crate::os::spawn::{SpawnError, Step};

/// The command did not start.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("cannot open the log `{}`", path.display())]
    OpenLog { path: PathBuf, source: io::Error },
    #[error("cannot open a terminal")]
    OpenTerminal { source: io::Error },
    #[error("cannot open a pipe")]
    OpenPipe { source: io::Error },
    #[error("the name of the program is empty")]
    NoName,
    #[error("`{program}` was not found in PATH")]
    NotInPath { program: String },
    #[error("`{program}` does not exist")]
    NotThere { program: String },
    #[error("there is no command to run, and no shell `{program}`; give a command")]
    NoShell { program: String },
    /// The kernel reports the same error for a missing program.
    #[error("`{program}` cannot be executed: its interpreter does not exist")]
    NoInterpreter { program: String },
    #[error("`{program}` cannot be executed")]
    Execute { program: String, source: io::Error },
    #[error("cannot enter the working directory `{directory}`")]
    EnterDirectory { directory: String, source: io::Error },
    #[error("cannot start `{program}`: {}", trouble(*step))]
    Prepare { program: String, step: Step, source: io::Error },
}

/// The attempted start, as far as an error needs it.
pub(super) struct Attempt {
    pub(super) program: String,
    pub(super) directory: String,
    /// Whether nobody named it: it is the user's shell.
    pub(super) is_shell: bool,
    /// Whether there is a file of that name, directly or in PATH.
    pub(super) is_there: bool,
}

impl StartError {
    pub(super) fn of_spawn(attempt: Attempt, error: SpawnError) -> Self {
        let Attempt { program, directory, is_shell, is_there } = attempt;
        let SpawnError { step, source } = error;
        match step {
            Step::Execute if is_missing(&source) => match program.as_str() {
                "" => Self::NoName,
                _ if is_shell && !is_there => Self::NoShell { program },
                _ if is_there => Self::NoInterpreter { program },
                name if name.contains('/') => Self::NotThere { program },
                _ => Self::NotInPath { program },
            },
            Step::Execute => Self::Execute { program, source },
            Step::WorkingDirectory => Self::EnterDirectory { directory, source },
            Step::Fork
            | Step::Session
            | Step::Terminal
            | Step::Cgroup
            | Step::Namespace
            | Step::Credentials => Self::Prepare { program, step, source },
        }
    }

    /// Converts the error to the reply to the host.
    pub(super) fn reply(&self) -> ExecFailed {
        let chain = crate::console::chain(self);
        // The error number is of no use to the user.
        let message = chain.rsplit_once(" (os error ").map_or(chain.as_str(), |(words, _)| words);
        ExecFailed { reason: self.reason().into(), message: message.to_owned() }
    }

    fn reason(&self) -> Reason {
        match self {
            Self::Plan(plan) => plan.reason(),
            Self::NoName
            | Self::NotInPath { .. }
            | Self::NotThere { .. }
            | Self::NoShell { .. }
            | Self::NoInterpreter { .. } => Reason::NotFound,
            Self::Execute { source, .. } => match source.raw_os_error() {
                Some(libc::EACCES | libc::ENOEXEC | libc::EISDIR) => Reason::NotExecutable,
                _ => Reason::Other,
            },
            Self::EnterDirectory { .. } => Reason::BadWorkingDirectory,
            Self::OpenLog { .. }
            | Self::OpenTerminal { .. }
            | Self::OpenPipe { .. }
            | Self::Prepare { .. } => Reason::Other,
        }
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR))
}

fn trouble(step: Step) -> &'static str {
    match step {
        Step::Fork => "no process could be created",
        Step::Session => "it got no session of its own",
        Step::Terminal => "it could not take its terminal",
        Step::Cgroup => "it could not enter its cgroup",
        Step::Namespace => "it got no process namespace",
        Step::Credentials => "it could not switch to its user",
        Step::WorkingDirectory => "it could not enter its directory",
        Step::Execute => "it could not be executed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(program: &str, is_there: bool, step: Step, errno: i32) -> (String, Reason) {
        let attempt =
            Attempt { program: program.into(), directory: "/secret".into(), is_shell: false, is_there };
        let error = SpawnError { step, source: io::Error::from_raw_os_error(errno) };
        let reply = StartError::of_spawn(attempt, error).reply();
        (reply.message.clone(), reply.reason())
    }

    #[test]
    fn a_missing_shell_is_told_as_a_missing_command() {
        let attempt =
            Attempt { program: "/bin/sh".into(), directory: "/".into(), is_shell: true, is_there: false };
        let error = SpawnError { step: Step::Execute, source: io::Error::from_raw_os_error(libc::ENOENT) };
        let reply = StartError::of_spawn(attempt, error).reply();
        assert_eq!(reply.message, "there is no command to run, and no shell `/bin/sh`; give a command");
        assert_eq!(reply.reason(), Reason::NotFound);
    }

    #[test]
    fn each_failure_names_what_it_is_about() {
        use Reason::{BadWorkingDirectory, NotExecutable, NotFound, Other};
        for (program, is_there, step, errno, expected, reason) in [
            ("tool", false, Step::Execute, libc::ENOENT, "`tool` was not found in PATH", NotFound),
            ("/x/y", false, Step::Execute, libc::ENOENT, "`/x/y` does not exist", NotFound),
            ("", false, Step::Execute, libc::ENOENT, "the name of the program is empty", NotFound),
            (
                "./run",
                true,
                Step::Execute,
                libc::ENOENT,
                "`./run` cannot be executed: its interpreter does not exist",
                NotFound,
            ),
            (
                "/etc/passwd",
                true,
                Step::Execute,
                libc::EACCES,
                "`/etc/passwd` cannot be executed: Permission denied",
                NotExecutable,
            ),
            (
                "tool",
                true,
                Step::Execute,
                libc::E2BIG,
                "`tool` cannot be executed: Argument list too long",
                Other,
            ),
            (
                "tool",
                true,
                Step::WorkingDirectory,
                libc::EACCES,
                "cannot enter the working directory `/secret`: Permission denied",
                BadWorkingDirectory,
            ),
            (
                "tool",
                true,
                Step::Credentials,
                libc::EPERM,
                "cannot start `tool`: it could not switch to its user: Operation not permitted",
                Other,
            ),
        ] {
            assert_eq!(message(program, is_there, step, errno), (expected.to_owned(), reason));
        }
    }
}
