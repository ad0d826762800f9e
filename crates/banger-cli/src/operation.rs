//! Operations of the daemon, followed by `banger-client`: stages are shown, signals stop, and what came of it is worded.

use banger_api::OperationView;
use banger_client::{
    Attempt, Client, ClientError, Ended, FollowError, Note, OnStop, ResultError, Stops, Watcher,
};

use crate::error::{CliError, Kind};
use crate::interruption::{cancelled, left};
use crate::progress::Progress;
use crate::signals::{Signals, Stop};

impl Stops for Signals {
    type Stop = Stop;

    fn next(&mut self) -> impl Future<Output = Stop> {
        Signals::next(self)
    }
}

impl Watcher for Progress {
    fn show(&mut self, operation: &OperationView) {
        Progress::show(self, operation);
    }

    fn note(&mut self, note: Note) {
        Progress::note(
            self,
            match note {
                Note::DaemonReplaced => "the daemon stopped; continuing with its successor",
                Note::Cancelling => "cancelling; press Ctrl-C again to stop waiting",
            },
        );
    }
}

impl From<FollowError<Stop>> for CliError {
    fn from(error: FollowError<Stop>) -> Self {
        match error {
            FollowError::Ask(error) => error.into(),
            FollowError::Failed(body) => Self::refused(*body),
            FollowError::Result(error) => error.into(),
            FollowError::Stopped { stop, target, undone } => left(stop, target.as_deref(), undone),
            FollowError::Cancelled { stop, told } => cancelled(stop, told.map(|body| *body)),
        }
    }
}

impl From<ResultError> for CliError {
    fn from(error: ResultError) -> Self {
        Self::new(Kind::Unreadable, error)
    }
}

/// Begins an operation and follows it to its end.
pub(crate) async fn follow(
    client: &Client,
    begin: impl AsyncFn(Attempt) -> Result<OperationView, ClientError>,
    signals: &mut Signals,
    on_stop: OnStop,
    progress: &mut Progress,
) -> Result<Ended<Stop>, CliError> {
    Ok(banger_client::follow(client, begin, signals, on_stop, progress).await?)
}
