//! Pulling of images and kernels: both are an operation with a name.

use banger_api::{OperationView, PullRequest};
use banger_sys::paths::Paths;

use crate::ensure::ensure;
use crate::error::CliError;
use crate::operation::{self, Ended, OnStop};
use crate::progress::Board;
use crate::render;
use crate::signals::Signals;

/// Pulls and prints the name, or as JSON what came.
pub(crate) async fn pull(
    paths: &Paths,
    route: &str,
    request: &PullRequest,
    as_json: bool,
    board: &Board,
) -> Result<(), CliError> {
    let client = ensure(paths).await?;
    let mut signals = Signals::listen().map_err(CliError::Signals)?;
    let mut progress = board.progress(None);
    let begin = client.post::<OperationView>(route, request);
    let ended = operation::follow(&client, begin, &mut signals, OnStop::Cancel, &mut progress).await?;
    progress.finish(Some(&request.name));
    // What is here is here: a cancellation that came too late harms nobody.
    let (Ended::Succeeded(operation) | Ended::TooLate { operation, .. }) = ended;
    if as_json {
        render::print_json(&operation.result)
    } else {
        render::print(&format!("{}\n", request.name))
    }
}
