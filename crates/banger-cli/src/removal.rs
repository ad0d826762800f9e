//! `kernel delete` and `image delete`: several at once, told in the order in which they were typed.

use std::collections::BTreeSet;

use banger_client::{Client, Ended, OnStop, Removable};
use banger_sys::paths::Paths;
use futures::future::join_all;
use serde_json::json;

use crate::ensure::ensure;
use crate::error::CliError;
use crate::form::Form;
use crate::operation;
use crate::outcome::{Done, Outcome, tell};
use crate::progress::Board;
use crate::signals::Signals;

/// How they are removed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Removal {
    /// One that does not exist is fine.
    pub(crate) may_be_gone: bool,
    pub(crate) as_json: bool,
}

/// What JSON calls one.
fn kind(what: Removable) -> &'static str {
    match what {
        Removable::Image => "image",
        Removable::Kernel { .. } => "kernel",
    }
}

/// Removes those that nobody uses; the others stay, and make the exit status 1.
pub(crate) async fn remove<N: Into<String>>(
    paths: &Paths,
    what: Removable,
    names: Vec<N>,
    wish: Removal,
    board: &Board,
) -> Result<(), CliError> {
    let mut names: Vec<String> = names.into_iter().map(Into::into).collect();
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    let client = ensure(paths).await?;
    let has_several = names.len() > 1;
    let each = names.into_iter().map(|name| {
        let client = &client;
        async move {
            let result = match remove_one(client, what, &name, has_several, board).await {
                Err(error) if wish.may_be_gone && error.is_missing() => {
                    Ok(Done { was_already: true, notes: vec![error.to_string()], ..Done::default() })
                }
                result => result,
            };
            Outcome { id: name.clone(), target: name, result }
        }
    });
    tell("deleted", kind(what), &join_all(each).await, Form::of(wish.as_json, board))
}

async fn remove_one(
    client: &Client,
    what: Removable,
    name: &str,
    has_several: bool,
    board: &Board,
) -> Result<Done, CliError> {
    let mut signals = Signals::listen()?;
    let mut progress = board.progress(has_several.then_some(name));
    let begin = async |attempt| what.begin(client, name, attempt).await;
    let ended = operation::follow(client, begin, &mut signals, OnStop::Cancel, &mut progress).await?;
    match ended {
        Ended::Succeeded(_) | Ended::TooLate { .. } => {
            Ok(Done { value: Some(json!({ "name": name })), ..Done::default() })
        }
    }
}
