//! Follows an operation of the daemon: shows its stages and listens to the signals that ask us to stop.

use std::time::Duration;

use banger_api::{Client, ClientError, ErrorCode, OperationKind, OperationState, OperationView};
use serde::de::DeserializeOwned;

use crate::error::{CliError, Kind};
use crate::interruption::{Undone, interrupted};
use crate::progress::Progress;
use crate::signals::{Signals, Stop};

/// What a signal does to an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnStop {
    /// It is cancelled, and we wait until it is undone.
    Cancel,
    /// We leave, it goes on: half of it would be worse than all of it.
    Leave,
}

/// How often work is begun for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    First,
    /// The daemon went away after it was asked; nobody knows how far it came.
    Again,
}

/// Daemons that may go away in the middle of one operation.
const LOSSES_MAX: usize = 5;

/// How long a daemon may take to hear the last that we say to it.
const LAST_WORD_DEADLINE: Duration = Duration::from_secs(2);

/// An operation of the daemon says less than it should.
#[derive(Debug, thiserror::Error)]
enum ResultError {
    #[error("the daemon's answer has no {what}")]
    Missing { what: &'static str },
    #[error("the daemon's answer has an invalid {what}")]
    Invalid { what: &'static str, source: serde_json::Error },
}

impl From<ResultError> for CliError {
    fn from(error: ResultError) -> Self {
        Self::new(Kind::Unreadable, error)
    }
}

/// How an operation ended for us.
#[derive(Debug)]
pub(crate) enum Ended {
    Succeeded(OperationView),
    /// It succeeded before it heard that it was cancelled.
    TooLate {
        operation: OperationView,
        stop: Stop,
    },
}

/// Begins an operation and follows it to its end. A daemon that dies in its middle takes it along: `begin` is then asked
/// again and says what became of the work, or begins it anew.
pub(crate) async fn follow(
    client: &Client,
    begin: impl AsyncFn(Attempt) -> Result<OperationView, ClientError>,
    signals: &mut Signals,
    on_stop: OnStop,
    progress: &mut Progress,
) -> Result<Ended, CliError> {
    let mut losses = 0;
    let (mut operation, mut stopped) =
        begin_heard(client, begin_surely(client, &begin, &mut losses), signals, on_stop).await?;
    if let Some(stop) = stopped {
        stop_operation(client, &operation, stop, signals, on_stop, progress).await?;
    }
    loop {
        progress.show(&operation);
        if operation.state.is_final() {
            return conclude(operation, stopped);
        }
        tokio::select! {
            next = client.operation(&operation.id, operation.revision) => match next {
                Err(error) if is_lost(&error) => {
                    if let Some(stop) = stopped {
                        // The next daemon undoes what the last one left; nothing is begun anew.
                        return Err(left(stop, &operation, Undone::NotYet));
                    }
                    progress.note("the daemon stopped; continuing with its successor");
                    losses += 1;
                    if losses > LOSSES_MAX {
                        return Err(error.into());
                    }
                    let again = begin_again(client, &begin, &mut losses);
                    (operation, stopped) = begin_heard(client, again, signals, on_stop).await?;
                    if let Some(stop) = stopped {
                        stop_operation(client, &operation, stop, signals, on_stop, progress).await?;
                    }
                }
                next => operation = next?,
            },
            stop = signals.next() => {
                if stopped.replace(stop).is_some() {
                    return Err(left(stop, &operation, Undone::NotYet));
                }
                stop_operation(client, &operation, stop, signals, on_stop, progress).await?;
            }
        }
    }
}

/// Reads what came out of an operation.
pub(crate) fn result<T: DeserializeOwned>(
    operation: OperationView,
    what: &'static str,
) -> Result<T, CliError> {
    let result = operation.result.ok_or(ResultError::Missing { what })?;
    Ok(serde_json::from_value(result).map_err(|source| ResultError::Invalid { what, source })?)
}

/// The next daemon does not know the operations of the last one.
fn is_lost(error: &ClientError) -> bool {
    error.is_loss() || matches!(error, ClientError::Refused(body) if body.code == ErrorCode::NotFound)
}

async fn begin_surely(
    client: &Client,
    begin: &impl AsyncFn(Attempt) -> Result<OperationView, ClientError>,
    losses: &mut usize,
) -> Result<OperationView, ClientError> {
    match begin(Attempt::First).await {
        Err(error) if error.is_loss() && client.has_successor().await => {
            begin_again(client, begin, losses).await
        }
        answered => answered,
    }
}

async fn begin_again(
    client: &Client,
    begin: &impl AsyncFn(Attempt) -> Result<OperationView, ClientError>,
    losses: &mut usize,
) -> Result<OperationView, ClientError> {
    loop {
        match begin(Attempt::Again).await {
            Err(error) if error.is_loss() && *losses < LOSSES_MAX && client.has_successor().await => {
                *losses += 1;
            }
            answered => return answered,
        }
    }
}

/// Returns an operation that a daemon has finished before it went away, as it would have told it.
pub(crate) fn finished(
    kind: OperationKind,
    target: &str,
    result: Option<serde_json::Value>,
) -> OperationView {
    OperationView {
        id: String::new(),
        kind,
        target: target.to_owned(),
        state: OperationState::Succeeded,
        revision: 0,
        stages: Vec::new(),
        warnings: Vec::new(),
        result,
        error: None,
        was_already: false,
        notes: Vec::new(),
    }
}

/// Waits for the begin even when a signal comes: what has begun must be known to be cancelled.
async fn begin_heard(
    client: &Client,
    begin: impl Future<Output = Result<OperationView, ClientError>>,
    signals: &mut Signals,
    on_stop: OnStop,
) -> Result<(OperationView, Option<Stop>), CliError> {
    let mut begin = std::pin::pin!(begin);
    let mut stopped = None;
    loop {
        tokio::select! {
            operation = &mut begin => return Ok((operation?, stopped)),
            stop = signals.next() => {
                if stopped.replace(stop).is_some() {
                    let last_word = async {
                        if let (Ok(operation), OnStop::Cancel) = (begin.await, on_stop) {
                            let _ = cancel(client, &operation.id).await;
                        }
                    };
                    say_at_last(last_word, signals).await;
                    return Err(interrupted(stop, None, Undone::NotYet));
                }
            }
        }
    }
}

/// Lets the daemon hear what it is told before we leave: a second signal may come right behind the first, and work that
/// nobody cancels goes on. One more signal leaves all the same.
async fn say_at_last(word: impl Future, signals: &mut Signals) {
    tokio::select! {
        _ = tokio::time::timeout(LAST_WORD_DEADLINE, word) => {}
        _ = signals.next() => {}
    }
}

/// Asks the daemon to cancel an operation, and returns it as it is now.
pub(crate) async fn cancel(client: &Client, id: &str) -> Result<OperationView, ClientError> {
    client.post(&format!("/v1/operations/{id}/cancel"), &()).await
}

async fn stop_operation(
    client: &Client,
    operation: &OperationView,
    stop: Stop,
    signals: &mut Signals,
    on_stop: OnStop,
    progress: &mut Progress,
) -> Result<(), CliError> {
    match on_stop {
        OnStop::Leave => Err(left(stop, operation, Undone::GoesOn)),
        OnStop::Cancel => {
            progress.note("cancelling; press Ctrl-C again to stop waiting");
            let mut cancelled = std::pin::pin!(cancel(client, &operation.id));
            let stop = tokio::select! {
                cancelled = &mut cancelled => return Ok(cancelled.map(drop)?),
                stop = signals.next() => stop,
            };
            say_at_last(cancelled, signals).await;
            Err(left(stop, operation, Undone::NotYet))
        }
    }
}

fn conclude(operation: OperationView, stopped: Option<Stop>) -> Result<Ended, CliError> {
    use banger_api::OperationState as State;
    match (operation.state, stopped) {
        (State::Succeeded, None) => Ok(Ended::Succeeded(operation)),
        (State::Succeeded, Some(stop)) => Ok(Ended::TooLate { operation, stop }),
        (State::Cancelled, Some(stop)) => Err(left(stop, &operation, Undone::Yes)),
        (State::Failed | State::Cancelled | State::Running | State::Cancelling, _) => {
            Err(operation.error.map_or_else(
                || ResultError::Missing { what: "reason for the failure" }.into(),
                CliError::refused,
            ))
        }
    }
}

fn left(stop: Stop, operation: &OperationView, undone: Undone) -> CliError {
    interrupted(stop, Some(&operation.target), undone)
}
