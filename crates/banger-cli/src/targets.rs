//! One question about several VMs: asked of all at once, told in the order typed; one that fails does not hold the
//! others back.

use banger_api::VmView;
use banger_api::route::{Named, Route};
use banger_client::{Client, Target, resolve};
use banger_model::{VmRefError, VmState};
use futures::future::join_all;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::error::{CliError, Kind};
use crate::render::complain;

impl From<VmRefError> for CliError {
    fn from(error: VmRefError) -> Self {
        let (kind, hint) = match &error {
            VmRefError::Missing { .. } => (Kind::Missing, "see `banger vm list`"),
            VmRefError::Ambiguous { .. } => (Kind::Failed, "use a name, or more of the ID"),
        };
        Self::new(kind, error).with_hint(hint.to_owned())
    }
}

/// What came of one target.
pub(crate) struct Answer<T> {
    pub(crate) target: String,
    /// The id of its VM; as typed where there is none.
    pub(crate) id: String,
    pub(crate) result: Result<T, CliError>,
}

impl<T> Answer<T> {
    /// Returns what came of a VM.
    pub(crate) fn of(vm: &VmView, result: Result<T, CliError>) -> Self {
        Self { target: vm.name.to_string(), id: vm.id.to_string(), result }
    }

    /// Returns what came of something typed that means no VM.
    pub(crate) fn missing(typed: &str, error: VmRefError) -> Self {
        Self { target: typed.to_owned(), id: typed.to_owned(), result: Err(error.into()) }
    }
}

/// Returns the VMs that were typed; without any, all that run.
pub(crate) fn choose<'a>(typed: &'a [String], vms: &'a [VmView]) -> Vec<Target<'a>> {
    if typed.is_empty() {
        let running = vms.iter().filter(|vm| vm.state == VmState::Running);
        return running.map(|vm| (vm.name.as_str(), Ok(vm))).collect();
    }
    resolve(typed, vms)
}

/// Asks `what` of each VM.
pub(crate) async fn ask_each<T: DeserializeOwned>(
    client: &Client,
    targets: Vec<Target<'_>>,
    what: Route<Named>,
) -> Vec<Answer<T>> {
    join_all(targets.into_iter().map(|(typed, found)| async move {
        match found {
            Ok(vm) => Answer::of(vm, ask(client, vm, what).await),
            Err(error) => Answer::missing(typed, error),
        }
    }))
    .await
}

async fn ask<T: DeserializeOwned>(client: &Client, vm: &VmView, what: Route<Named>) -> Result<T, CliError> {
    Ok(client.get(what.of(&vm.id)).await?)
}

/// Returns all answers as JSON; the good ones are under `name`.
pub(crate) fn as_json<T: Serialize>(answers: &[Answer<T>], name: &str) -> Vec<Value> {
    let value = |answer: &Answer<T>| match &answer.result {
        Ok(value) => json!({ "target": answer.target, "ok": true, name: value }),
        Err(error) => json!({ "target": answer.target, "ok": false, "error": error.to_json() }),
    };
    answers.iter().map(value).collect()
}

/// Tells what failed; fails when anything did.
pub(crate) fn tell_failures<T>(answers: &[Answer<T>]) -> Result<(), CliError> {
    let mut outcome = Ok(());
    for answer in answers {
        if let Err(error) = &answer.result {
            complain((answers.len() > 1).then_some(answer.target.as_str()), error);
            outcome = Err(CliError::told());
        }
    }
    outcome
}
