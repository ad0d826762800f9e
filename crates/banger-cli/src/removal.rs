//! `kernel delete` and `image delete`: several at once, told in the order in which they were typed.

use std::collections::BTreeSet;

use banger_api::{Client, ClientError, ErrorCode, OperationKind};
use banger_sys::paths::Paths;
use futures::future::join_all;

use crate::ensure::ensure;
use crate::error::CliError;
use crate::form::Form;
use crate::operation::{self, Attempt, Ended, OnStop};
use crate::outcome::{Done, Outcome, tell};
use crate::progress::Board;
use crate::signals::Signals;

/// What can be removed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Removable {
    /// Where the daemon has them.
    route: &'static str,
    /// What JSON calls one.
    kind: &'static str,
    kind_of_removal: OperationKind,
}

pub(crate) const KERNELS: Removable =
    Removable { route: "/v1/kernels", kind: "kernel", kind_of_removal: OperationKind::KernelDelete };
pub(crate) const IMAGES: Removable =
    Removable { route: "/v1/images", kind: "image", kind_of_removal: OperationKind::ImageDelete };

/// How they are removed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Removal {
    /// One that does not exist is fine.
    pub(crate) may_be_gone: bool,
    pub(crate) as_json: bool,
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
    tell("deleted", what.kind, &join_all(each).await, Form::of(wish.as_json, board))
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
    let path = format!("{}/{name}/delete", what.route);
    let begin = async |attempt| match client.post(&path, &()).await {
        // The daemon that went away has removed it.
        Err(ClientError::Refused(body)) if attempt == Attempt::Again && body.code == ErrorCode::NotFound => {
            Ok(operation::finished(what.kind_of_removal, name, None))
        }
        begun => begun,
    };
    let ended = operation::follow(client, begin, &mut signals, OnStop::Cancel, &mut progress).await?;
    match ended {
        Ended::Succeeded(_) | Ended::TooLate { .. } => Ok(Done::default()),
    }
}
