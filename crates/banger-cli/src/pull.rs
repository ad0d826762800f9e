//! Pulling and importing of images and kernels: all are an operation whose target is the name of what comes.

use std::cell::OnceCell;

use banger_api::{ClientError, ErrorCode, OperationKind, OperationView};
use banger_sys::paths::Paths;
use serde::Serialize;
use serde_json::Value;

use crate::ensure::ensure;
use crate::error::CliError;
use crate::form::Form;
use crate::operation::{self, Attempt, Ended, OnStop};
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
    let mut signals = Signals::listen()?;
    let mut progress = board.progress(None);
    let target: OnceCell<(OperationKind, String)> = OnceCell::new();
    let begin = async |attempt| {
        let begun = client.post::<OperationView>(route, request).await;
        match (begun, attempt, target.get()) {
            // The daemon that went away has got it.
            (Err(ClientError::Refused(body)), Attempt::Again, Some((kind, target)))
                if body.code == ErrorCode::AlreadyExists =>
            {
                let collection = route.split(':').next().unwrap_or(route);
                let result = client.get::<Value>(&format!("{collection}/{target}")).await?;
                Ok(operation::finished(*kind, target, Some(result)))
            }
            (Ok(begun), _, _) => {
                let _first = target.set((begun.kind, begun.target.clone()));
                Ok(begun)
            }
            (refused, _, _) => refused,
        }
    };
    let ended = operation::follow(&client, begin, &mut signals, OnStop::Cancel, &mut progress).await?;
    // What is here is here: a cancellation that came too late harms nobody.
    let (Ended::Succeeded(operation) | Ended::TooLate { operation, .. }) = ended;
    progress.finish(Some(&operation.target));
    operation.notes.iter().for_each(|note| render::say(note));
    let line = format!("{}\n", operation.target);
    Form::of(as_json, board).print(&operation.result, &operation.target, || line)
}
