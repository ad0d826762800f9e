//! Signals that ask us to stop. From the first call of [`Signals::listen`] on they are events, not deaths.

use std::fs;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::CliError;

/// The signals cannot be listened to.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for signals")]
pub(crate) struct SignalsError(#[source] pub(crate) io::Error);

impl From<SignalsError> for CliError {
    fn from(error: SignalsError) -> Self {
        Self::failed(error)
    }
}

/// A signal that asks us to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Hangup,
    Interrupt,
    Quit,
    Terminate,
}

impl Stop {
    /// Returns its number (`signal(7)`).
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Hangup => 1,
            Self::Interrupt => 2,
            Self::Quit => 3,
            Self::Terminate => 15,
        }
    }

    /// Returns the exit status that tells a death by it.
    pub(crate) fn exit_status(self) -> u8 {
        128 + self.number()
    }
}

/// The signals that asked us to stop, one after the other.
#[derive(Debug)]
pub(crate) struct Signals {
    hangup: Option<Signal>,
    interrupt: Option<Signal>,
    quit: Option<Signal>,
    terminate: Option<Signal>,
}

impl Signals {
    /// Starts to listen. A signal that our caller ignores (`nohup`, a job in the background) stays ignored.
    pub(crate) fn listen() -> Result<Self, SignalsError> {
        Self::listen_to_all().map_err(SignalsError)
    }

    fn listen_to_all() -> io::Result<Self> {
        let ignored = ignored_signals();
        let listen = |stop: Stop| {
            let is_ignored = ignored & (1 << (stop.number() - 1)) != 0;
            if is_ignored {
                return Ok(None);
            }
            signal(SignalKind::from_raw(stop.number().into())).map(Some)
        };
        Ok(Self {
            hangup: listen(Stop::Hangup)?,
            interrupt: listen(Stop::Interrupt)?,
            quit: listen(Stop::Quit)?,
            terminate: listen(Stop::Terminate)?,
        })
    }

    /// Waits for the next one. Can be given up without losing one.
    pub(crate) async fn next(&mut self) -> Stop {
        tokio::select! {
            () = arrives(&mut self.hangup) => Stop::Hangup,
            () = arrives(&mut self.interrupt) => Stop::Interrupt,
            () = arrives(&mut self.quit) => Stop::Quit,
            () = arrives(&mut self.terminate) => Stop::Terminate,
        }
    }
}

async fn arrives(signal: &mut Option<Signal>) {
    let arrived = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if arrived.is_none() {
        std::future::pending::<()>().await;
    }
}

/// Returns the set of ignored signals (`SigIgn` of `proc(5)`).
fn ignored_signals() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
