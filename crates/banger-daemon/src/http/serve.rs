//! Serving, from the first connection to the last answer.

use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{ApiState, PrivateListener, router};

/// How long work may take to undo itself when the daemon ends.
const UNDO_DEADLINE: Duration = Duration::from_secs(20);
/// How long the last answers may take after that.
const ANSWERS_DEADLINE: Duration = Duration::from_secs(2);

/// Serves until `told_to_end` or `POST /v1/shutdown`; then cancels what is at work and goes on to answer while it undoes
/// itself, so that whoever follows an operation sees its end. Machines go on.
///
/// # Errors
/// As the listener says.
pub async fn serve(
    listener: PrivateListener,
    state: ApiState,
    told_to_end: impl Future<Output = ()>,
) -> io::Result<()> {
    let (shutdown, operations) = (state.shutdown.clone(), state.operations.clone());
    let last_answers = CancellationToken::new();
    // A bare router would be built anew, every route of it, with each connection.
    let serving = axum::serve(listener, router(state).into_make_service())
        .with_graceful_shutdown(last_answers.clone().cancelled_owned())
        .into_future();
    let mut serving = pin!(serving);
    tokio::select! {
        served = &mut serving => return served,
        () = shutdown.cancelled() => {}
        () = told_to_end => {}
    }
    shutdown.cancel();
    tokio::select! {
        served = &mut serving => return served,
        closed = tokio::time::timeout(UNDO_DEADLINE, operations.close()) => if closed.is_err() {
            warn!("operations did not end in time; the next daemon finishes them");
        },
    }
    last_answers.cancel();
    match tokio::time::timeout(ANSWERS_DEADLINE, serving).await {
        Ok(served) => served,
        // A client that does not read its answer must not hold up the end.
        Err(_late) => Ok(()),
    }
}
