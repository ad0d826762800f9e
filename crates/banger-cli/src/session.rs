//! One command in a guest, connected to our stdin, stdout, stderr, terminal and signals.
//!
//! ```text
//!  stdin ──▶ Input ──▶ ┐                       ┌──▶ Output ──▶ stdout, stderr
//!  SIGWINCH ─▶ resize ─┼▶ the agent's command ─┤
//!  SIGINT … ─▶ signal ─┘    (guest channel)    └──▶ exit status
//! ```
//! On a terminal, Ctrl-C is a byte like any other; a signal that reaches us there comes from elsewhere and ends the
//! session, as the escape keys do: neither waits for the guest. Without one, signals are the command's, and a command
//! that ignores them does not keep us: after SIGTERM and SIGHUP it has a moment, and the third signal ends the session
//! at once. The end of the session ends the command.

use std::collections::VecDeque;
use std::io::{self, IsTerminal as _};
use std::os::unix::ffi::OsStringExt as _;
use std::time::Duration;

use banger_agent_proto::exec_failed::Reason;
use banger_agent_proto::{HelloReply, HelloRequest, WindowSize};
use banger_api::VmView;
use banger_client::Client;
use banger_guest::{AgentError, ExecEvent, ExecInput, ExecOutput, ExecSession, ExitOutcome};
use bytes::Bytes;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use crate::absence;
use crate::broken_stream::{self, Purpose};
use crate::error::{CliError, Kind};
use crate::escape_keys::{self, EscapeKeys, Typed, Watcher};
use crate::foreign;
use crate::plan::{self, Process};
use crate::render::say;
use crate::screen::Screen;
use crate::signals::{Signals, SignalsError, Stop};
use crate::stdio::{Input, Output, OutputSender, Piece};
use crate::terminal::{self, RawTerminal};

/// How long a signal may wait for a place among the messages to the command.
const SIGNAL_DEADLINE: Duration = Duration::from_secs(2);
/// How long a command that was asked to end by SIGTERM or SIGHUP may take.
const END_GRACE: Duration = Duration::from_secs(3);
/// Bytes that may be typed ahead into a guest that takes nothing; beyond it the escape keys are not seen either.
const TYPED_BYTES_MAX: usize = 1024 * 1024;
/// Exit status of a session that was left by its escape keys, as ssh has it.
const LEFT: u8 = 255;
/// The signal of this number ends the session when the command goes on after the others.
const SIGNALS_MAX: u32 = 3;

/// Longest note of a guest that is shown.
const NOTE_CHARS_MAX: usize = 300;

/// What the command has as its stdin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stdin {
    Nothing,
    Bytes,
    /// What is typed, with a terminal in the guest.
    Typed,
}

/// How a session ended.
#[derive(Debug)]
enum End {
    Exited {
        outcome: ExitOutcome,
        note: Option<String>,
    },
    Failed {
        reason: Reason,
        message: String,
    },
    OutputGone,
    Stopped(Stop),
    /// By the escape keys.
    Left,
}

/// Why a session failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    #[error("cannot set up the terminal")]
    Terminal(#[source] io::Error),
}

impl From<SessionError> for CliError {
    fn from(error: SessionError) -> Self {
        Self::failed(error)
    }
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
        session = start(client, vm, process, size, false) => session,
        stop = signals.next() => return Ok(stop.exit_status()),
    };
    let session = match session {
        Ok(session) => session,
        Err(error) => return Err(broken_stream::explain(client, vm, Purpose::Command, error).await),
    };
    let raw = match size {
        Some(_) => RawTerminal::enter().map_err(SessionError::Terminal)?,
        None => None,
    };
    let output = Output::open().map_err(SessionError::Terminal)?;
    let mut screen = (size.is_some() && std::io::stdout().is_terminal()).then(Screen::default);
    let stdin = match (process.has_stdin, size) {
        (false, _) => Stdin::Nothing,
        (true, None) => Stdin::Bytes,
        (true, Some(_)) => Stdin::Typed,
    };
    let keys = if stdin == Stdin::Typed { process.escape_keys.clone() } else { EscapeKeys::Off };
    let ended = tokio::select! {
        ended = play(session, output.sender(), keys, &mut screen, stdin, signals) => ended,
        never = absence::tell(client, vm) => match never {},
    };
    let is_clean =
        matches!(ended, Ok(End::Exited { outcome: ExitOutcome::Code(_), .. } | End::Failed { .. }));
    let screen = screen.filter(|_| !is_clean);
    let flushed = tokio::select! {
        flushed = put_right(output, screen) => flushed.map_err(CliError::output),
        stop = signals.next() => return Ok(stop.exit_status()),
    };
    match raw {
        // What the terminal still tells of a mouse or a paste is not for the shell that started us.
        Some(raw) if !is_clean => raw.leave_without_input(),
        raw => drop(raw),
    }
    let end = match ended {
        Ok(end) => end,
        Err(error) => return Err(broken_stream::explain(client, vm, Purpose::Command, error).await),
    };
    // A stdout that nobody reads any more counts for more than how the command ended because of it.
    flushed?;
    if let End::Left = end {
        say(&format!("closed the session in VM `{}` and ended its command", vm.name));
    }
    status_of(end)
}

/// Puts the terminal right and waits until everything is written. Only what a command could not put back itself is
/// undone: one that ended by itself leaves what it wants.
async fn put_right(output: Output, screen: Option<Screen>) -> std::io::Result<()> {
    if let Some(screen) = screen {
        let mut undo = screen.undo();
        if screen.is_in_line() {
            undo.extend_from_slice(b"\r\n");
        }
        let sender = output.sender();
        // A stdout that is gone needs nothing.
        let _ = sender.write(Piece::Stdout(Bytes::from(undo))).await;
    }
    output.finish().await
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

/// Asks a guest what `ssh` needs to know before it enters.
pub(crate) async fn ask_for_ssh(client: &Client, vm: &VmView) -> Result<HelloReply, CliError> {
    let request = HelloRequest {
        terminal_type: std::env::var_os("TERM").unwrap_or_default().into_vec().into(),
        locale: plan::locale(|name| std::env::var_os(name)),
        ..HelloRequest::default()
    };
    match banger_client::hello(client, vm, request).await {
        Ok(hello) => Ok(hello),
        Err(error) => Err(absence::explain(client, vm, error.into()).await),
    }
}

async fn start(
    client: &Client,
    vm: &VmView,
    process: &Process,
    terminal: Option<WindowSize>,
    detached: bool,
) -> Result<ExecSession, CliError> {
    let message = process.start(terminal, detached, |name| std::env::var_os(name));
    match banger_client::start(client, vm, message).await {
        Ok(session) => Ok(session),
        Err(error) => Err(absence::explain(client, vm, error.into()).await),
    }
}

/// Carries everything both ways until the session ends.
async fn play(
    session: ExecSession,
    sender: OutputSender,
    keys: EscapeKeys,
    screen: &mut Option<Screen>,
    stdin: Stdin,
    signals: &mut Signals,
) -> Result<End, CliError> {
    let (input, output) = session.split();
    tokio::select! {
        end = carry_output(output, sender.clone(), screen) => Ok(end?),
        end = carry_signals(input.clone(), stdin == Stdin::Typed, signals) => end,
        end = carry_input(input, Watcher::new(keys), sender, stdin) => end,
    }
}

async fn carry_output(
    mut output: ExecOutput,
    sender: OutputSender,
    screen: &mut Option<Screen>,
) -> Result<End, AgentError> {
    while let Some(event) = output.next().await? {
        let written = match event {
            ExecEvent::Started { .. } => Ok(()),
            ExecEvent::Stdout(bytes) => {
                if let Some(screen) = screen {
                    screen.take(&bytes);
                }
                sender.write(Piece::Stdout(bytes)).await
            }
            ExecEvent::Stderr(bytes) => sender.write(Piece::Stderr(bytes)).await,
            ExecEvent::Exited(outcome) => {
                let note = output.note().map(|note| foreign::line(note, NOTE_CHARS_MAX).into_owned());
                return Ok(End::Exited { outcome, note });
            }
            ExecEvent::Failed { reason, message } => return Ok(End::Failed { reason, message }),
        };
        if written.is_err() {
            return Ok(End::OutputGone);
        }
    }
    Err(AgentError::NoExit)
}

/// Ends the session by its escape keys only: a command may go on long after its input. On a terminal, what is typed is
/// read also while the guest takes nothing, or the keys would not be seen.
async fn carry_input(
    input: ExecInput,
    mut watcher: Watcher,
    sender: OutputSender,
    stdin: Stdin,
) -> Result<End, CliError> {
    let has_terminal = stdin == Stdin::Typed;
    if stdin != Stdin::Nothing && terminal::may_read_stdin() {
        let mut stdin = Input::open().map_err(SessionError::Terminal)?;
        let waiting_max = if has_terminal { TYPED_BYTES_MAX } else { 1 };
        let (mut waiting, mut waiting_bytes) = (VecDeque::new(), 0);
        let mut is_open = true;
        while is_open || !waiting.is_empty() {
            let next = waiting.front().cloned();
            tokio::select! {
                bytes = stdin.next(), if is_open && waiting_bytes < waiting_max => {
                    let typed = match bytes {
                        Some(bytes) if !has_terminal => {
                            waiting_bytes += bytes.len();
                            waiting.push_back(bytes);
                            continue;
                        }
                        Some(bytes) => watcher.take(&bytes),
                        None => {
                            is_open = false;
                            vec![Typed::Send(watcher.end())]
                        }
                    };
                    for typed in typed {
                        match typed {
                            Typed::Send(bytes) => {
                                waiting_bytes += bytes.len();
                                waiting.push_back(Bytes::from(bytes));
                            }
                            Typed::Help => drop(sender.try_write(Piece::Stderr(escape_keys::HELP.into()))),
                            Typed::Leave => return Ok(End::Left),
                        }
                    }
                }
                sent = input.stdin(next.unwrap_or_default()), if !waiting.is_empty() => {
                    if sent.is_err() {
                        break;
                    }
                    waiting_bytes -= waiting.pop_front().map_or(0, |bytes: Bytes| bytes.len());
                }
            }
        }
    }
    let _ = input.stdin_end().await;
    std::future::pending().await
}

async fn carry_signals(input: ExecInput, has_terminal: bool, signals: &mut Signals) -> Result<End, CliError> {
    let mut resized = signal(SignalKind::window_change()).map_err(SignalsError)?;
    let mut count = 0;
    let mut leaving: Option<(Instant, Stop)> = None;
    loop {
        let (moment, last) = leaving.unwrap_or((Instant::now(), Stop::Terminate));
        tokio::select! {
            () = sleep_until(moment), if leaving.is_some() => return Ok(End::Stopped(last)),
            Some(()) = resized.recv() => {
                if has_terminal {
                    let size = terminal::size();
                    // A command that has ended, or takes nothing, needs no size.
                    let _ = tokio::time::timeout(SIGNAL_DEADLINE, input.resize(size.columns, size.rows)).await;
                }
            }
            stop = signals.next() => {
                count += 1;
                if has_terminal || leaving.is_some() || count >= SIGNALS_MAX {
                    return Ok(End::Stopped(stop));
                }
                if matches!(stop, Stop::Terminate | Stop::Hangup) {
                    leaving = Some((Instant::now() + END_GRACE, stop));
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
        End::Exited { outcome, note } => {
            if let Some(note) = note {
                say(&format!("banger: {note}"));
            }
            Ok(match outcome {
                ExitOutcome::Code(code) => code,
                ExitOutcome::Signal(number) => u8::try_from(number.saturating_add(128)).unwrap_or(u8::MAX),
            })
        }
        End::Failed { reason, message } => Err(command_failed(reason, message)),
        End::OutputGone => Err(CliError::output_closed()),
        End::Stopped(stop) => Ok(stop.exit_status()),
        End::Left => Ok(LEFT),
    }
}

fn command_failed(reason: Reason, message: String) -> CliError {
    let status = match reason {
        Reason::NotFound => 127,
        Reason::NotExecutable => 126,
        Reason::Unspecified | Reason::NoSuchUser | Reason::BadWorkingDirectory | Reason::Other => 1,
    };
    CliError::new(Kind::Command(status), message)
}
