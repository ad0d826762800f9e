//! Pulling and importing of images and kernels: all are an operation whose target is the name of what comes.

use banger_api::route::{Named, Route};
use banger_client::{Ended, OnStop, Pull};
use banger_sys::paths::Paths;
use serde::Serialize;

use crate::ensure::ensure;
use crate::error::CliError;
use crate::form::Form;
use crate::operation;
use crate::progress::Board;
use crate::render;
use crate::signals::Signals;

/// Asks for it and prints its name, or as JSON what came; `show` is the route that shows it.
pub(crate) async fn pull(
    paths: &Paths,
    route: impl AsRef<str>,
    show: Route<Named>,
    request: &impl Serialize,
    as_json: bool,
    board: &Board,
) -> Result<(), CliError> {
    let client = ensure(paths).await?;
    let mut signals = Signals::listen()?;
    let mut progress = board.progress(None);
    let pull = Pull::new(&client, route.as_ref(), show, request);
    let begin = async |attempt| pull.begin(attempt).await;
    let ended = operation::follow(&client, begin, &mut signals, OnStop::Cancel, &mut progress).await?;
    // What is here is here: a cancellation that came too late harms nobody.
    let (Ended::Succeeded(operation) | Ended::TooLate { operation, .. }) = ended;
    progress.finish(Some(&operation.target));
    if !matches!(board, Board::Quiet) {
        operation.notes.iter().for_each(|note| render::say(note));
    }
    let form = Form::of(as_json, board);
    let came = if form == Form::Json { Some(pull.came(&operation).await?) } else { None };
    form.print(&came, &operation.target, || format!("{}\n", operation.target))
}
