//! Why a command failed, as the user reads it: one message with its causes, console lines where they tell more, the
//! next command to type. Each kind of work has an error of its own; here they meet.

use std::error::Error;
use std::fmt::Write as _;
use std::io;

use banger_api::{ClientError, EndingView, ErrorBody};
use banger_guest::AgentError;
use banger_sys::paths::PathsError;

use crate::cp::{CpPlanError, TarError};
use crate::ensure::EnsureError;
use crate::environment_file::EnvironmentFileError;
use crate::logs::without_colours;
use crate::painted::{Paint, Painted};
use crate::plan::PlanError;
use crate::render::{Colour, count};
use crate::resolve::ResolveError;
use crate::setup::SetupError;
use crate::signals::Stop;

/// Exit status when banger itself failed.
const FAILED: u8 = 1;
/// Exit status for invalid arguments.
pub(crate) const USAGE: u8 = 2;
/// Exit status when nobody reads stdout any more, as a shell tells a death by SIGPIPE.
pub(crate) const OUTPUT_CLOSED: u8 = 128 + 13;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    EnvironmentFile(#[from] EnvironmentFileError),
    #[error(transparent)]
    CpPlan(#[from] CpPlanError),
    #[error(transparent)]
    ReadTree(#[from] banger_tree::ReadError),
    #[error(transparent)]
    WriteTree(#[from] banger_tree::WriteError),
    #[error(transparent)]
    Tar(#[from] TarError),
    /// The agent's own words about its files.
    #[error("{vm}: {message}")]
    GuestFiles { vm: String, message: String },
    #[error("cannot copy `{what}`")]
    GuestTree { what: String, source: AgentError },
    #[error("source and destination are both in VM `{vm}`")]
    SameVm { vm: String },
    #[error("the copy of `{what}` is incomplete")]
    TreeCutOff { what: String },
    #[error("interrupted; {}", copied(*.files))]
    CopyInterrupted { stop: Stop, files: u64 },
    #[error(transparent)]
    Paths(#[from] PathsError),
    #[error(transparent)]
    Ensure(#[from] EnsureError),
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    #[error(transparent)]
    Api(ClientError),
    #[error("{}", .0.message)]
    Refused(Box<ErrorBody>),
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// An error about a VM that is deleted by now: no command to type next.
    #[error(transparent)]
    Deleted(Box<CliError>),
    #[error("the VM `{vm}` stopped while its command ran")]
    VmStopped { vm: String, source: AgentError },
    #[error("the guest of `{vm}` has not answered since {since}")]
    GuestAway { vm: String, since: String, source: Box<CliError> },
    /// A stream through the daemon ended with it.
    #[error("the daemon stopped, and the connection to VM `{vm}` was lost")]
    DaemonGone { vm: String, source: Box<CliError> },
    /// A stream broke, and its machine goes on.
    #[error("the connection to VM `{vm}` was lost: its agent or the daemon restarted")]
    AgentGone { vm: String, source: Box<CliError> },
    /// The daemon knows how the guest ended.
    #[error("{}", ended_under_command(vm, ending))]
    GuestEnded { vm: String, ending: EndingView },
    /// Told of one VM among others, beside its figures.
    #[error("{why}")]
    GuestSilent { vm: String, why: String },
    #[error(transparent)]
    Setup(SetupError),
    #[error("{message}")]
    CommandFailed { message: String, status: u8 },
    #[error("the daemon's answer has no {what}")]
    NoResult { what: &'static str },
    #[error("the daemon's answer has an invalid {what}")]
    BadResult { what: &'static str, source: serde_json::Error },
    #[error("{}", interruption(.after.as_deref(), *.undone))]
    Interrupted { stop: Stop, after: Option<String>, undone: Undone },
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    #[error("cannot set up the terminal")]
    Terminal(#[source] io::Error),
    #[error("cannot find out the working directory")]
    WorkingDirectory(#[source] io::Error),
    #[error("cannot write to stdout")]
    Output(#[source] io::Error),
    #[error("cannot run `ssh`")]
    Ssh(#[source] io::Error),
    #[error("the program `ssh` is not installed")]
    NoSsh,
    #[error("VM `{vm}` has no ssh server, so ssh options cannot be used")]
    NoSshServer { vm: String },
    #[error("the guest cannot connect to {target}: {answer}")]
    StreamRefused { target: String, answer: String },
    #[error(transparent)]
    BadHost(banger_model::NameError),
    #[error("the path `{}` is not valid UTF-8", path.display())]
    BadPath { path: std::path::PathBuf },
    #[error("cannot ask for confirmation without a terminal; use `--yes`")]
    NoConfirmation,
    #[error("the log ended early")]
    Log { source: Box<dyn Error + Send + Sync> },
    #[error("the connection to the guest was lost")]
    Stream(#[source] io::Error),
    /// Each failure was told where it happened.
    #[error("")]
    Told,
    /// As `Told`, after a signal.
    #[error("")]
    ToldStop(Stop),
    /// Nobody reads stdout any more: nothing to tell, and nobody to tell it to.
    #[error("")]
    OutputClosed,
}

/// What became of the work that a signal interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undone {
    /// It is undone.
    Yes,
    /// We left before it was.
    NotYet,
    /// It goes on without us.
    GoesOn,
}

fn ended_under_command(vm: &str, ending: &EndingView) -> String {
    let EndingView { why, starts_again } = ending;
    if *starts_again {
        format!("the command in VM `{vm}` ended with its guest, which starts again: {why}")
    } else {
        format!("the command in VM `{vm}` ended with its guest: {why}")
    }
}

fn copied(files: u64) -> String {
    match files {
        0 => "no files copied".to_owned(),
        files => format!("{} copied", count("file", files)),
    }
}

fn interruption(after: Option<&str>, undone: Undone) -> String {
    let what = after.unwrap_or("the work");
    match undone {
        Undone::Yes => "cancelled; nothing is left behind".to_owned(),
        Undone::NotYet => format!("stopped waiting before {what} was undone; the daemon continues"),
        Undone::GoesOn => format!("stopped waiting; the daemon continues with {what}"),
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused(body) => Self::Refused(body),
            other => Self::Api(other),
        }
    }
}

impl CliError {
    /// Sorts a failed write to stdout.
    pub(crate) fn output(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe { Self::OutputClosed } else { Self::Output(error) }
    }

    pub(crate) fn exit_status(&self) -> u8 {
        match self {
            Self::Plan(_) | Self::EnvironmentFile(_) | Self::CpPlan(_) | Self::BadPath { .. } => USAGE,
            Self::CommandFailed { status, .. } => *status,
            Self::Deleted(error) => error.exit_status(),
            Self::Interrupted { stop, .. } | Self::CopyInterrupted { stop, .. } | Self::ToldStop(stop) => {
                stop.exit_status()
            }
            Self::OutputClosed => OUTPUT_CLOSED,
            Self::ReadTree(_)
            | Self::WriteTree(_)
            | Self::Tar(_)
            | Self::GuestFiles { .. }
            | Self::GuestTree { .. }
            | Self::SameVm { .. }
            | Self::TreeCutOff { .. }
            | Self::Paths(_)
            | Self::Ensure(_)
            | Self::Resolve(_)
            | Self::Api(_)
            | Self::Refused(_)
            | Self::Agent(_)
            | Self::VmStopped { .. }
            | Self::GuestAway { .. }
            | Self::DaemonGone { .. }
            | Self::AgentGone { .. }
            | Self::GuestEnded { .. }
            | Self::GuestSilent { .. }
            | Self::NoResult { .. }
            | Self::BadResult { .. }
            | Self::Runtime(_)
            | Self::Signals(_)
            | Self::Terminal(_)
            | Self::WorkingDirectory(_)
            | Self::Output(_)
            | Self::Ssh(_)
            | Self::NoSsh
            | Self::NoSshServer { .. }
            | Self::StreamRefused { .. }
            | Self::BadHost(_)
            | Self::NoConfirmation
            | Self::Log { .. }
            | Self::Stream(_)
            | Self::Setup(_)
            | Self::Told => FAILED,
        }
    }

    /// Returns the next command to type.
    fn hint(&self) -> Option<String> {
        match self {
            Self::Refused(body) => body.hint.clone(),
            Self::Api(ClientError::Silent { .. }) => Some(
                "if this continues, stop the daemon; VMs keep running: banger daemon stop --force".to_owned(),
            ),
            Self::Api(ClientError::Broken { .. }) => {
                Some("VMs keep running without the daemon; see `banger vm list`".to_owned())
            }
            Self::Ensure(error) => error.hint(),
            Self::Setup(error) => error.hint(),
            Self::Resolve(error) => Some(error.hint()),
            Self::VmStopped { vm, .. } | Self::GuestSilent { vm, .. } => Some(format!("banger vm logs {vm}")),
            Self::GuestAway { vm, .. } => {
                Some(format!("it may be busy and come back; see `banger vm logs {vm}`"))
            }
            Self::DaemonGone { vm, .. } | Self::AgentGone { vm, .. } => {
                Some(format!("the VM is still running; enter it again with `banger vm exec {vm}`"))
            }
            Self::GuestEnded { vm, ending } if ending.starts_again => Some(format!("banger vm exec {vm}")),
            Self::GuestEnded { vm, .. } => Some(format!("banger vm show {vm}")),
            Self::Agent(AgentError::Broken { .. } | AgentError::NoExit) => {
                Some("the VM may still be running; see `banger vm list`".to_owned())
            }
            Self::Agent(AgentError::Silent { .. }) => {
                Some("the guest hangs or is very busy; see `banger vm logs`".to_owned())
            }
            Self::Agent(AgentError::VersionMismatch { .. }) => {
                Some("pull the image again with `banger image pull --force`, then make a new VM".to_owned())
            }
            Self::SameVm { vm } => Some(format!("banger vm exec {vm} -- cp -a <source> <destination>")),
            Self::Agent(AgentError::Stalled { .. }) => {
                Some("the guest hangs or is very busy; see `banger vm list`".to_owned())
            }
            Self::Agent(AgentError::Outdated { .. }) => Some("restart the VM to update its agent".to_owned()),
            Self::NoSshServer { vm } => Some(format!("banger vm exec {vm} -- <command>")),
            Self::NoSsh => Some("sudo apt-get install openssh-client".to_owned()),
            _ => None,
        }
    }

    fn body(&self) -> Option<&ErrorBody> {
        match self {
            Self::Refused(body) => Some(body),
            Self::Deleted(error) => error.body(),
            _ => None,
        }
    }

    fn is_silent(&self) -> bool {
        match self {
            Self::Told | Self::ToldStop(_) | Self::OutputClosed => true,
            Self::Deleted(error) => error.is_silent(),
            _ => false,
        }
    }

    /// Draws the error; empty when there is nothing to tell.
    pub(crate) fn draw(&self, about: Option<&str>, colour: Colour) -> Painted {
        if self.is_silent() {
            return Painted::default();
        }
        let mut text = Painted::default().paint(colour, Paint::Red, "banger:").push(" ");
        if let Some(about) = about {
            text = text.push(about).push(": ");
        }
        text = text.message(&chain(self));
        if let Some(op_id) = self.body().and_then(|body| body.op_id.as_deref()) {
            text = text.push(" ").paint(colour, Paint::Dim, &format!("({op_id})"));
        }
        text = text.end_line();
        for line in self.body().map(|body| body.console.as_slice()).unwrap_or_default() {
            text = text.push("    ").push(&without_colours(line)).end_line();
        }
        text.hint(self.hint().as_deref())
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
mod tests {
    use banger_api::ErrorCode;

    use super::*;

    #[test]
    fn an_error_of_the_daemon_shows_console_operation_and_hint() {
        let body = ErrorBody {
            code: ErrorCode::OperationFailed,
            message: "the guest of `dev` did not say hello within 60 s".into(),
            hint: Some("banger vm logs dev".into()),
            op_id: Some("op-12ab".into()),
            console: vec!["Kernel panic \u{1b}[31m- not syncing".into(), "---[ end ]---".into()],
        };
        let error = CliError::from(ClientError::Refused(Box::new(body)));
        insta::assert_snapshot!(error.draw(None, Colour::Off), @r"
        banger: the guest of `dev` did not say hello within 60 s (op-12ab)
            Kernel panic - not syncing
            ---[ end ]---
        hint: banger vm logs dev
        ");
        let coloured = error.draw(Some("dev"), Colour::On);
        assert!(coloured.as_str().starts_with("\u{1b}[31mbanger:\u{1b}[0m dev: the guest"), "{coloured:?}");
        assert!(coloured.as_str().contains("\u{1b}[2m(op-12ab)\u{1b}[0m"), "{coloured:?}");
    }

    fn broken() -> serde_json::Error {
        serde_json::from_str::<u8>("x").unwrap_err()
    }

    /// Errors of a guest or a daemon that may only be busy, and all others that have a hint of their own.
    fn with_hints() -> Vec<CliError> {
        let vm = || "dev".to_owned();
        let silent =
            || ClientError::Silent { path: "/v1/vms".into(), deadline: std::time::Duration::from_secs(10) };
        let agent_silent = AgentError::Silent { call: "hello", deadline: std::time::Duration::from_secs(5) };
        vec![
            CliError::Api(silent()),
            CliError::Api(ClientError::Unreadable { path: "/v1/vms".into(), source: broken() }),
            CliError::Ensure(EnsureError::Ask { source: silent() }),
            CliError::Ensure(EnsureError::Newer { daemon: "9".into() }),
            CliError::Ensure(EnsureError::AtWork { daemon: "0".into() }),
            CliError::Ensure(EnsureError::DoesNotEnd { pid: 7 }),
            CliError::VmStopped { vm: vm(), source: AgentError::NoExit },
            CliError::GuestSilent { vm: vm(), why: "the guest did not answer".into() },
            CliError::DaemonGone { vm: vm(), source: Box::new(CliError::Told) },
            CliError::AgentGone { vm: vm(), source: Box::new(CliError::Told) },
            CliError::GuestAway { vm: vm(), since: "12:03:05".into(), source: Box::new(CliError::Told) },
            CliError::Agent(agent_silent),
            CliError::Agent(AgentError::NoExit),
            CliError::Agent(AgentError::TooLong { call: "stats" }),
            CliError::Agent(AgentError::Stalled { silence: std::time::Duration::from_secs(30) }),
            CliError::Agent(AgentError::Outdated { call: "stats" }),
            CliError::Agent(AgentError::VersionMismatch {
                host_version: "1".into(),
                ours: vec![1],
                agent_version: "2".into(),
                theirs: vec![2],
            }),
            CliError::SameVm { vm: vm() },
            CliError::NoSshServer { vm: vm() },
            CliError::NoSsh,
        ]
    }

    #[test]
    fn no_hint_ends_the_work_of_a_guest_that_may_only_be_busy() {
        let hints: String =
            with_hints().iter().map(|error| error.hint().unwrap_or("-".into()) + "\n").collect();
        for destructive in ["vm kill", "vm delete", "vm restart", "vm stop"] {
            assert!(!hints.contains(destructive), "{hints}");
        }
        insta::assert_snapshot!(hints, @r"
        if this continues, stop the daemon; VMs keep running: banger daemon stop --force
        -
        stop it; VMs keep running: banger daemon stop --force
        use the newer banger, or stop its daemon: banger daemon stop
        wait until it is idle, or stop it now: banger daemon stop --force
        kill -9 7; VMs keep running without the daemon
        banger vm logs dev
        banger vm logs dev
        the VM is still running; enter it again with `banger vm exec dev`
        the VM is still running; enter it again with `banger vm exec dev`
        it may be busy and come back; see `banger vm logs dev`
        the guest hangs or is very busy; see `banger vm logs`
        the VM may still be running; see `banger vm list`
        -
        the guest hangs or is very busy; see `banger vm list`
        restart the VM to update its agent
        pull the image again with `banger image pull --force`, then make a new VM
        banger vm exec dev -- cp -a <source> <destination>
        banger vm exec dev -- <command>
        sudo apt-get install openssh-client
        ");
    }

    #[test]
    fn causes_are_told_once() {
        let source = io::Error::other("no such device");
        assert_eq!(chain(&CliError::Terminal(source)), "cannot set up the terminal: no such device");
        let repeated = CliError::Paths(PathsError::Relative { variable: "BANGER_HOME", path: "b".into() });
        assert_eq!(chain(&repeated), "`BANGER_HOME` is `b`, which is not an absolute path");
    }

    #[test]
    fn nobody_is_told_about_a_closed_output() {
        let error = CliError::output(io::ErrorKind::BrokenPipe.into());
        assert_eq!((error.draw(None, Colour::Off).as_str(), error.exit_status()), ("", 141));
    }

    #[test]
    fn every_error_is_told_in_lines_that_command_no_terminal() {
        const FOUL: &str = "\u{1b}[2J\u{9b}31m\u{202e}\u{200b}\r\nbanger: all is well";
        let foul = || FOUL.to_owned();
        let io = || io::Error::other(FOUL);
        let body = || ErrorBody {
            code: ErrorCode::OperationFailed,
            message: foul(),
            hint: Some(foul()),
            op_id: Some(foul()),
            console: vec![foul()],
        };
        let refused = || AgentError::Refused { call: "exec", message: foul() };
        let mismatch = AgentError::VersionMismatch {
            host_version: foul(),
            ours: vec![1],
            agent_version: foul(),
            theirs: Vec::new(),
        };
        let missing = banger_tree::ReadError::Missing { path: FOUL.into() };
        let errors = [
            CliError::Tar(TarError::LeadsOut { path: foul() }),
            CliError::ReadTree(missing),
            CliError::WriteTree(banger_tree::WriteError::TooDeep { path: FOUL.into() }),
            CliError::GuestFiles { vm: foul(), message: foul() },
            CliError::GuestTree { what: foul(), source: refused() },
            CliError::SameVm { vm: foul() },
            CliError::TreeCutOff { what: foul() },
            CliError::Paths(PathsError::Relative { variable: "BANGER_HOME", path: FOUL.into() }),
            CliError::Refused(Box::new(body())),
            CliError::Agent(refused()),
            CliError::Agent(mismatch),
            CliError::Deleted(Box::new(CliError::Refused(Box::new(body())))),
            CliError::VmStopped { vm: foul(), source: refused() },
            CliError::GuestSilent { vm: foul(), why: foul() },
            CliError::CommandFailed { message: foul(), status: 1 },
            CliError::Interrupted { stop: Stop::Interrupt, after: Some(foul()), undone: Undone::NotYet },
            CliError::Runtime(io()),
            CliError::Output(io()),
            CliError::Ssh(io()),
            CliError::NoSshServer { vm: foul() },
            CliError::StreamRefused { target: foul(), answer: foul() },
            CliError::BadPath { path: FOUL.into() },
            CliError::Log { source: Box::new(io()) },
            CliError::Stream(io()),
        ];
        for error in errors {
            for about in [None, Some(FOUL)] {
                let text = error.draw(about, Colour::Off).to_string();
                assert!(!text.contains(|c| c != '\n' && crate::foreign::is_foul(c)), "{error:?}: {text:?}");
                let own =
                    text.lines().filter(|line| line.starts_with("banger:") || line.starts_with("hint:"));
                assert!(own.count() <= 2 && text.matches("\nbanger:").count() == 0, "{error:?}: {text}");
            }
        }
    }
}
