//! One command in a guest, connected to our stdin, stdout, stderr, terminal and signals.
//!
//! ```text
//!  stdin ──▶ Input ──▶ ┐                       ┌──▶ Output ──▶ stdout, stderr
//!  SIGWINCH ─▶ resize ─┼▶ the agent's command ─┤
//!  SIGINT … ─▶ signal ─┘    (guest channel)    └──▶ exit status
//! ```
//! On a terminal, Ctrl-C is a byte like any other; a signal that reaches us there comes from elsewhere and ends the
//! session. Without one, signals are the command's.

use std::time::Duration;

use banger_agent_proto::exec_failed::Reason;
use banger_agent_proto::{CONTROL_PORT, WindowSize};
use banger_api::{Client, VmView};
use banger_guest::{AgentClient, AgentError, ExecEvent, ExecInput, ExecOutput, ExecSession, ExitOutcome};
use banger_model::VmState;
use tokio::signal::unix::{SignalKind, signal};

use crate::error::CliError;
use crate::plan::Process;
use crate::signals::{Signals, Stop};
use crate::stdio::{Input, Output, OutputSender, Piece};
use crate::terminal::{self, RawTerminal};
use crate::version::VERSION;

/// How long the guest may take to let us in.
pub(crate) const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// How long the guest's agent may take to say who it is: one that hangs is reported soon.
const HELLO_DEADLINE: Duration = Duration::from_secs(5);
/// How long the guest may take to start a command: it may boot beside it.
const START_DEADLINE: Duration = Duration::from_secs(30);
/// How long a signal may wait for a place among the messages to the command.
const SIGNAL_DEADLINE: Duration = Duration::from_secs(2);
/// The signal of this number ends the session when the command goes on after the others.
const SIGNALS_MAX: u32 = 3;

/// How a session ended.
#[derive(Debug)]
enum End {
    Exited(ExitOutcome),
    Failed { reason: Reason, message: String },
    OutputGone,
    Stopped(Stop),
}

/// Runs a process in a VM and returns its exit status.
pub(crate) async fn attach(
    client: &Client,
    vm: &VmView,
    process: &Process,
    signals: &mut Signals,
) -> Result<u8, CliError> {
    let size = terminal::choose(process.terminal);
    let session = tokio::select! {
        session = start(client, vm, process, size, false) => session?,
        stop = signals.next() => return Ok(stop.exit_status()),
    };
    let raw = match size {
        Some(_) => RawTerminal::enter().map_err(CliError::Terminal)?,
        None => None,
    };
    let output = Output::open().map_err(CliError::Terminal)?;
    let ended = play(session, output.sender(), size.is_some(), signals).await;
    let flushed = tokio::select! {
        flushed = output.finish() => flushed.map_err(CliError::output),
        stop = signals.next() => return Ok(stop.exit_status()),
    };
    drop(raw);
    let end = match ended {
        Ok(end) => end,
        Err(CliError::Agent(error)) => return Err(explain(client, vm, error).await),
        Err(error) => return Err(error),
    };
    // A stdout that nobody reads any more counts for more than how the command ended because of it.
    flushed?;
    status_of(end)
}

/// Starts a process that outlives us; returns its number in the guest.
pub(crate) async fn detach(client: &Client, vm: &VmView, process: &Process) -> Result<u32, CliError> {
    let mut session = start(client, vm, process, None, true).await?;
    match session.next().await? {
        Some(ExecEvent::Started { pid }) => Ok(pid),
        Some(ExecEvent::Failed { reason, message }) => Err(command_failed(reason, message)),
        Some(ExecEvent::Stdout(_) | ExecEvent::Stderr(_) | ExecEvent::Exited(_)) | None => {
            Err(AgentError::UnknownReply.into())
        }
    }
}

/// Tells whether `ssh` can enter the guest. An agent that does not say is older than images without a server.
pub(crate) async fn has_ssh_server(client: &Client, vm: &VmView) -> Result<bool, CliError> {
    let agent = connect(client, vm).await?;
    Ok(agent.hello(VERSION, HELLO_DEADLINE).await?.has_ssh_server.unwrap_or(true))
}

async fn connect(client: &Client, vm: &VmView) -> Result<AgentClient, CliError> {
    let path = format!("/v1/vms/{}/channel?port={CONTROL_PORT}", vm.id);
    let stream = client.upgrade(&path, CONNECT_DEADLINE).await?;
    Ok(AgentClient::connect(stream).await?)
}

async fn start(
    client: &Client,
    vm: &VmView,
    process: &Process,
    terminal: Option<WindowSize>,
    detached: bool,
) -> Result<ExecSession, CliError> {
    let agent = connect(client, vm).await?;
    let message = process.start(terminal, detached, |name| std::env::var_os(name));
    // Asked at once, not one after the other: a command in a running VM costs one round trip.
    let hello = agent.hello(VERSION, HELLO_DEADLINE);
    let (_, session) = tokio::try_join!(hello, agent.exec(message, START_DEADLINE))?;
    Ok(session)
}

/// Carries everything both ways until the session ends.
async fn play(
    session: ExecSession,
    sender: OutputSender,
    has_terminal: bool,
    signals: &mut Signals,
) -> Result<End, CliError> {
    let (input, output) = session.split();
    tokio::select! {
        end = carry_output(output, sender) => Ok(end?),
        end = carry_signals(input.clone(), has_terminal, signals) => end,
        end = carry_input(input) => end,
    }
}

async fn carry_output(mut output: ExecOutput, sender: OutputSender) -> Result<End, AgentError> {
    while let Some(event) = output.next().await? {
        let written = match event {
            ExecEvent::Started { .. } => Ok(()),
            ExecEvent::Stdout(bytes) => sender.write(Piece::Stdout(bytes)).await,
            ExecEvent::Stderr(bytes) => sender.write(Piece::Stderr(bytes)).await,
            ExecEvent::Exited(outcome) => return Ok(End::Exited(outcome)),
            ExecEvent::Failed { reason, message } => return Ok(End::Failed { reason, message }),
        };
        if written.is_err() {
            return Ok(End::OutputGone);
        }
    }
    Err(AgentError::NoExit)
}

/// Never ends the session: a command may go on long after its input.
async fn carry_input(input: ExecInput) -> Result<End, CliError> {
    if terminal::may_read_stdin() {
        let mut stdin = Input::open().map_err(CliError::Terminal)?;
        while let Some(bytes) = stdin.next().await {
            if input.stdin(bytes).await.is_err() {
                break;
            }
        }
    }
    let _ = input.stdin_end().await;
    std::future::pending().await
}

async fn carry_signals(input: ExecInput, has_terminal: bool, signals: &mut Signals) -> Result<End, CliError> {
    let mut resized = signal(SignalKind::window_change()).map_err(CliError::Signals)?;
    let mut count = 0;
    loop {
        tokio::select! {
            Some(()) = resized.recv() => {
                if has_terminal {
                    let size = terminal::size();
                    // A command that has ended, or takes nothing, needs no size.
                    let _ = tokio::time::timeout(SIGNAL_DEADLINE, input.resize(size.columns, size.rows)).await;
                }
            }
            stop = signals.next() => {
                count += 1;
                if has_terminal || count >= SIGNALS_MAX {
                    return Ok(End::Stopped(stop));
                }
                let sent = input.signal(stop.number().into());
                if tokio::time::timeout(SIGNAL_DEADLINE, sent).await.is_err() {
                    return Ok(End::Stopped(stop));
                }
            }
        }
    }
}

fn status_of(end: End) -> Result<u8, CliError> {
    match end {
        End::Exited(ExitOutcome::Code(code)) => Ok(code),
        End::Exited(ExitOutcome::Signal(number)) => {
            Ok(u8::try_from(number.saturating_add(128)).unwrap_or(u8::MAX))
        }
        End::Failed { reason, message } => Err(command_failed(reason, message)),
        End::OutputGone => Err(CliError::OutputClosed),
        End::Stopped(stop) => Ok(stop.exit_status()),
    }
}

fn command_failed(reason: Reason, message: String) -> CliError {
    let status = match reason {
        Reason::NotFound => 127,
        Reason::NotExecutable => 126,
        Reason::Unspecified | Reason::NoSuchUser | Reason::BadWorkingDirectory | Reason::Other => 1,
    };
    CliError::CommandFailed { message, status }
}

/// A broken connection often means that the VM was powered off from inside: then that is the error.
async fn explain(client: &Client, vm: &VmView, error: AgentError) -> CliError {
    let path = format!("/v1/vms/{}", vm.id);
    match client.get::<VmView>(&path).await.map(|vm| vm.state) {
        Ok(VmState::Stopped | VmState::Stopping | VmState::Failed) => {
            CliError::VmStopped { vm: vm.name.to_string(), source: error }
        }
        Ok(VmState::Created | VmState::Starting | VmState::Running) | Err(_) => CliError::Agent(error),
    }
}
