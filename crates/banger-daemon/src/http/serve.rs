//! Serving, from the first connection to the last answer.

use std::pin::pin;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{ApiState, PrivateListener, connections, router};

/// How long work may take to undo itself when the daemon ends.
const UNDO_DEADLINE: Duration = Duration::from_secs(20);
/// How long the last answers may take after that.
const ANSWERS_DEADLINE: Duration = Duration::from_secs(2);

/// Serves until `told_to_end` or `POST /v1/shutdown`; then cancels what is at work and goes on to answer while it undoes
/// itself, so that whoever follows an operation sees its end. Machines go on.
pub async fn serve(listener: PrivateListener, state: ApiState, told_to_end: impl Future<Output = ()>) {
    let (shutdown, operations) = (state.shutdown.clone(), state.operations.clone());
    let last_answers = CancellationToken::new();
    let mut serving = pin!(connections::serve(listener, router(state), last_answers.clone()));
    tokio::select! {
        // First, because it may wait for the shutdown itself, to do something before the end.
        biased;
        () = told_to_end => {}
        () = shutdown.cancelled() => {}
        () = &mut serving => return,
    }
    shutdown.cancel();
    tokio::select! {
        () = &mut serving => return,
        closed = tokio::time::timeout(UNDO_DEADLINE, operations.close()) => if closed.is_err() {
            warn!("operations did not end in time; the next daemon finishes them");
        },
    }
    last_answers.cancel();
    // A client that does not read its answer must not hold up the end.
    let _late = tokio::time::timeout(ANSWERS_DEADLINE, serving).await;
}
