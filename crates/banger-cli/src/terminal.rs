//! The user's terminal while a command in a guest has it: raw, and given back as it was on every way out.

use std::io::{self, IsTerminal as _};

use banger_agent_proto::WindowSize;
use rustix::termios::{
    OptionalActions, QueueSelector, Termios, tcflush, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr,
};

use crate::error::{CliError, Kind};
use crate::plan::TerminalChoice;

/// Size of a terminal that does not tell its own.
const SIZE_UNKNOWN: WindowSize = WindowSize { columns: 80, rows: 24 };

/// What is typed was asked for where nobody can type: a shell would wait for ever for the end of its input.
#[derive(Debug, thiserror::Error)]
#[error("standard input is not a terminal; leave out `-t`")]
pub(crate) struct NoTerminal;

impl From<NoTerminal> for CliError {
    fn from(error: NoTerminal) -> Self {
        Self::new(Kind::Usage, error)
    }
}

/// Refuses a process that reads a terminal when stdin is none, before anything is made.
pub(crate) fn check(reads_a_terminal: bool) -> Result<(), NoTerminal> {
    if reads_a_terminal && !io::stdin().is_terminal() { Err(NoTerminal) } else { Ok(()) }
}

/// Returns the size of the terminal that the command gets; `None`: it gets none.
pub(crate) fn choose(choice: TerminalChoice) -> Option<WindowSize> {
    let is_wanted = match choice {
        TerminalChoice::Always => true,
        TerminalChoice::Never => false,
        TerminalChoice::Auto => io::stdin().is_terminal() && io::stdout().is_terminal() && is_in_foreground(),
    };
    is_wanted.then(size)
}

/// Returns the size of our terminal.
pub(crate) fn size() -> WindowSize {
    let told = tcgetwinsize(io::stdout()).or_else(|_errno| tcgetwinsize(io::stdin()));
    match told {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            WindowSize { columns: size.ws_col.into(), rows: size.ws_row.into() }
        }
        Ok(_) | Err(_) => SIZE_UNKNOWN,
    }
}

/// Tells whether stdin may be read: reading a terminal in the background would stop us (`SIGTTIN`).
pub(crate) fn may_read_stdin() -> bool {
    !io::stdin().is_terminal() || is_in_foreground()
}

fn is_in_foreground() -> bool {
    tcgetpgrp(io::stdin()).is_ok_and(|group| group == rustix::process::getpgrp())
}

/// The terminal on stdin in raw mode; dropping it gives it back as it was.
#[derive(Debug)]
pub(crate) struct RawTerminal {
    before: Termios,
    drops_input: bool,
}

impl RawTerminal {
    /// Makes the terminal raw; `None` when stdin is no terminal.
    pub(crate) fn enter() -> io::Result<Option<Self>> {
        let stdin = io::stdin();
        if !stdin.is_terminal() || !is_in_foreground() {
            return Ok(None);
        }
        let before = tcgetattr(&stdin)?;
        let mut raw = before.clone();
        raw.make_raw();
        // Written output is waited for, typed input is kept: it is for the command.
        tcsetattr(&stdin, OptionalActions::Drain, &raw)?;
        Ok(Some(Self { before, drops_input: false }))
    }
}

impl RawTerminal {
    /// Gives the terminal back without what was typed, or answered by it, and not read.
    pub(crate) fn leave_without_input(mut self) {
        self.drops_input = true;
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        if self.drops_input {
            let _ = tcflush(io::stdin(), QueueSelector::IFlush);
        }
        // Now, without waiting: a terminal that takes no output must not keep us.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}
