//! Follows an operation of the daemon: shows its stages and listens to what asks us to stop.

use std::time::Duration;

use crate::client::{Client, ClientError};
use banger_api::{ErrorBody, ErrorCode, OperationKind, OperationState, OperationView, route};
use serde::de::DeserializeOwned;

/// What asks a client to stop, as a signal does.
pub trait Stops {
    /// Which one it was.
    type Stop: Copy;

    /// Waits for the next one. Can be given up without losing one.
    fn next(&mut self) -> impl Future<Output = Self::Stop>;
}

/// Shows an operation to the user.
pub trait Watcher {
    /// The operation has come further.
    fn show(&mut self, operation: &OperationView);

    /// Something that the user should know.
    fn note(&mut self, note: Note);
}

/// What a user is told in the middle of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// The daemon went away, and its successor goes on.
    DaemonReplaced,
    /// The operation is cancelled; one more stop leaves it.
    Cancelling,
}

/// What became of work that we left before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undone {
    /// We left before it was.
    NotYet,
    /// It goes on without us.
    GoesOn,
}

/// Why an operation has no result. `S` is what asks to stop.
#[derive(Debug, thiserror::Error)]
pub enum FollowError<S> {
    /// The daemon could not be asked, or refused.
    #[error(transparent)]
    Ask(ClientError),
    /// The operation failed.
    #[error("{}", .0.message)]
    Failed(Box<ErrorBody>),
    /// The operation ended without a reason.
    #[error(transparent)]
    Result(ResultError),
    /// Somebody asked us to stop.
    #[error("stopped")]
    Stopped {
        /// The last that asked.
        stop: S,
        /// What the operation was about, where that is known.
        target: Option<String>,
        /// What became of it.
        undone: Undone,
    },
    /// Somebody asked us to stop, and the operation is undone.
    #[error("cancelled")]
    Cancelled {
        /// The last that asked.
        stop: S,
        /// The daemon's words about what is left, where it has any.
        told: Option<Box<ErrorBody>>,
    },
}

impl<S> From<ClientError> for FollowError<S> {
    fn from(error: ClientError) -> Self {
        Self::Ask(error)
    }
}

/// What a stop does to an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStop {
    /// It is cancelled, and we wait until it is undone.
    Cancel,
    /// We leave, it goes on: half of it would be worse than all of it.
    Leave,
}

/// How often work is begun for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Nobody was asked before.
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
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum ResultError {
    #[error("the daemon's answer has no {what}")]
    Missing { what: &'static str },
    #[error("the daemon's answer has an invalid {what}")]
    Invalid { what: &'static str, source: serde_json::Error },
}

/// How an operation ended for us.
#[derive(Debug)]
pub enum Ended<S> {
    /// It succeeded.
    Succeeded(OperationView),
    /// It succeeded before it heard that it was cancelled.
    TooLate {
        /// As it ended.
        operation: OperationView,
        /// What asked to stop.
        stop: S,
    },
}

/// Begins an operation and follows it to its end. A daemon that dies in its middle takes it along: `begin` is then asked
/// again and says what became of the work, or begins it anew.
///
/// # Errors
/// [`FollowError`].
pub async fn follow<S: Stops>(
    client: &Client,
    begin: impl AsyncFn(Attempt) -> Result<OperationView, ClientError>,
    stops: &mut S,
    on_stop: OnStop,
    watcher: &mut impl Watcher,
) -> Result<Ended<S::Stop>, FollowError<S::Stop>> {
    let mut losses = 0;
    let (mut operation, mut stopped) =
        begin_heard(client, begin_surely(client, &begin, &mut losses), stops, on_stop).await?;
    if let Some(stop) = stopped {
        stop_operation(client, &operation, stop, stops, on_stop, watcher).await?;
    }
    loop {
        watcher.show(&operation);
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
                    watcher.note(Note::DaemonReplaced);
                    losses += 1;
                    if losses > LOSSES_MAX {
                        return Err(error.into());
                    }
                    let again = begin_again(client, &begin, &mut losses);
                    (operation, stopped) = begin_heard(client, again, stops, on_stop).await?;
                    if let Some(stop) = stopped {
                        stop_operation(client, &operation, stop, stops, on_stop, watcher).await?;
                    }
                }
                next => operation = next?,
            },
            stop = stops.next() => {
                if stopped.replace(stop).is_some() {
                    return Err(left(stop, &operation, Undone::NotYet));
                }
                stop_operation(client, &operation, stop, stops, on_stop, watcher).await?;
            }
        }
    }
}

/// Reads what came out of an operation.
///
/// # Errors
/// [`ResultError`].
pub fn result<T: DeserializeOwned>(operation: OperationView, what: &'static str) -> Result<T, ResultError> {
    let result = operation.result.ok_or(ResultError::Missing { what })?;
    serde_json::from_value(result).map_err(|source| ResultError::Invalid { what, source })
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
async fn begin_heard<S: Stops>(
    client: &Client,
    begin: impl Future<Output = Result<OperationView, ClientError>>,
    stops: &mut S,
    on_stop: OnStop,
) -> Result<(OperationView, Option<S::Stop>), FollowError<S::Stop>> {
    let mut begin = std::pin::pin!(begin);
    let mut stopped = None;
    loop {
        tokio::select! {
            operation = &mut begin => return Ok((operation?, stopped)),
            stop = stops.next() => {
                if stopped.replace(stop).is_some() {
                    let last_word = async {
                        if let (Ok(operation), OnStop::Cancel) = (begin.await, on_stop) {
                            let _ = cancel(client, &operation.id).await;
                        }
                    };
                    say_at_last(last_word, stops).await;
                    return Err(FollowError::Stopped { stop, target: None, undone: Undone::NotYet });
                }
            }
        }
    }
}

/// Lets the daemon hear what it is told before we leave: a second signal may come right behind the first, and work that
/// nobody cancels goes on. One more signal leaves all the same.
async fn say_at_last(word: impl Future, stops: &mut impl Stops) {
    tokio::select! {
        _ = tokio::time::timeout(LAST_WORD_DEADLINE, word) => {}
        _ = stops.next() => {}
    }
}

/// Asks the daemon to cancel an operation, and returns it as it is now.
///
/// # Errors
/// [`ClientError`].
pub async fn cancel(client: &Client, id: &str) -> Result<OperationView, ClientError> {
    client.post(route::CANCEL_OPERATION.of(id), &()).await
}

async fn stop_operation<S: Stops>(
    client: &Client,
    operation: &OperationView,
    stop: S::Stop,
    stops: &mut S,
    on_stop: OnStop,
    watcher: &mut impl Watcher,
) -> Result<(), FollowError<S::Stop>> {
    match on_stop {
        OnStop::Leave => Err(left(stop, operation, Undone::GoesOn)),
        OnStop::Cancel => {
            watcher.note(Note::Cancelling);
            let mut cancelled = std::pin::pin!(cancel(client, &operation.id));
            let stop = tokio::select! {
                cancelled = &mut cancelled => return Ok(cancelled.map(drop)?),
                stop = stops.next() => stop,
            };
            say_at_last(cancelled, stops).await;
            Err(left(stop, operation, Undone::NotYet))
        }
    }
}

fn conclude<S: Copy>(operation: OperationView, stopped: Option<S>) -> Result<Ended<S>, FollowError<S>> {
    use banger_api::OperationState as State;
    match (operation.state, stopped) {
        (State::Succeeded, None) => Ok(Ended::Succeeded(operation)),
        (State::Succeeded, Some(stop)) => Ok(Ended::TooLate { operation, stop }),
        (State::Cancelled, Some(stop)) => {
            Err(FollowError::Cancelled { stop, told: operation.error.map(Box::new) })
        }
        (State::Failed | State::Cancelled | State::Running | State::Cancelling, _) => {
            let reason = ResultError::Missing { what: "reason for the failure" };
            Err(operation
                .error
                .map_or(FollowError::Result(reason), |error| FollowError::Failed(Box::new(error))))
        }
    }
}

fn left<S>(stop: S, operation: &OperationView, undone: Undone) -> FollowError<S> {
    FollowError::Stopped { stop, target: Some(operation.target.clone()), undone }
}
