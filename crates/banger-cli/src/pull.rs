//! Pulling and importing of images and kernels: all are an operation whose target is the name of what comes.

use banger_api::OperationView;
use banger_sys::paths::Paths;
use serde::Serialize;

use crate::ensure::ensure;
use crate::error::CliError;
use crate::operation::{self, Ended, OnStop};
use crate::progress::Board;
use crate::render;
use crate::signals::Signals;

/// Asks for it and prints its name, or as JSON what came.
pub(crate) async fn pull(
    paths: &Paths,
    route: &str,
    request: &impl Serialize,
    as_json: bool,
    board: &Board,
) -> Result<(), CliError> {
    let client = ensure(paths).await?;
    let mut signals = Signals::listen().map_err(CliError::Signals)?;
    let mut progress = board.progress(None);
    let begin = client.post::<OperationView>(route, request);
    let ended = operation::follow(&client, begin, &mut signals, OnStop::Cancel, &mut progress).await?;
    // What is here is here: a cancellation that came too late harms nobody.
    let (Ended::Succeeded(operation) | Ended::TooLate { operation, .. }) = ended;
    progress.finish(Some(&operation.target));
    if as_json {
        render::print_json(&operation.result)
    } else {
        render::print(&format!("{}\n", operation.target))
    }
}
