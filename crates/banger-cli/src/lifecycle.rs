//! `vm start|stop|restart|kill|delete|set|touch`: several VMs at once, told in the order in which they were typed.

use banger_api::{VmView, route};
use banger_client::{Action, Client, Ended, Target, resolve};
use banger_model::KillSignal;
use banger_sys::paths::Paths;
use futures::future::join_all;

use crate::args::shared::ManyVms;
use crate::ensure::ensure;
use crate::error::CliError;
use crate::form::Form;
use crate::operation;
use crate::outcome::{Done, Outcome, tell};
use crate::progress::Board;
use crate::signals::Signals;

/// What is done about a VM that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// It is an error.
    Fails,
    /// It is as it should be.
    IsFine,
}

fn done(action: &Action) -> &'static str {
    match action {
        Action::Start(_) => "started",
        Action::Stop(_) => "stopped",
        Action::Restart(_) => "restarted",
        Action::Kill(kill) if kill.signal != KillSignal::Kill => "signalled",
        Action::Kill(_) => "killed",
        Action::Delete(_) => "deleted",
        Action::Set(_) => "updated",
        Action::Touch => "reset the time to live of",
    }
}

/// Does it to all of them; fails when it failed for any.
pub(crate) async fn act(
    paths: &Paths,
    action: &Action,
    missing: Missing,
    targets: &ManyVms,
    board: &Board,
) -> Result<(), CliError> {
    let client = ensure(paths).await?;
    let vms: Vec<VmView> = client.get(route::LIST_VMS).await?;
    let form = Form::of(targets.json, board);
    act_on_all(&client, (action, missing), resolve(&targets.vms, &vms), form, board).await
}

/// Does it to these VMs; fails when it failed for any.
pub(crate) async fn act_on_all(
    client: &Client,
    (action, missing): (&Action, Missing),
    targets: Vec<Target<'_>>,
    form: Form,
    board: &Board,
) -> Result<(), CliError> {
    let has_several = targets.len() > 1;
    let each = targets.into_iter().map(|(typed, found)| async move {
        let (target, id, result) = match found {
            Ok(vm) => {
                (vm.name.to_string(), vm.id.to_string(), act_on(client, action, vm, has_several, board).await)
            }
            Err(error) => (typed.to_owned(), typed.to_owned(), Err(error.into())),
        };
        let result = match result {
            Err(error) if missing == Missing::IsFine && error.is_missing() => {
                let note = format!("there is no VM `{target}`");
                Ok(Done { was_already: true, notes: vec![note], ..Done::default() })
            }
            result => result,
        };
        Outcome { target, id, result }
    });
    let outcomes = join_all(each).await;
    tell(done(action), "vm", &outcomes, form)
}

async fn act_on(
    client: &Client,
    action: &Action,
    vm: &VmView,
    has_several: bool,
    board: &Board,
) -> Result<Done, CliError> {
    let mut signals = Signals::listen()?;
    let mut progress = board.progress(has_several.then_some(vm.name.as_str()));
    let begin = async |attempt| action.begin(client, vm, attempt).await;
    let ended = operation::follow(client, begin, &mut signals, action.on_stop(), &mut progress).await?;
    let (Ended::Succeeded(operation) | Ended::TooLate { operation, .. }) = ended;
    Ok(with_news(action, vm, operation.into()))
}

/// Adds what a user may have expected to happen and did not.
fn with_news(action: &Action, vm: &VmView, mut done: Done) -> Done {
    if matches!(action, Action::Touch) && vm.expires_at.is_none() {
        let name = &vm.name;
        done.notes.push(format!("VM `{name}` has no time to live; to set one: banger set {name} --ttl 8h"));
        // No line claims that it was reset.
        done.was_already = true;
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_touch_resets_only_a_time_to_live_that_is_set() {
        let mut vm: VmView = serde_json::from_value(serde_json::json!({
            "id": "0123456789abcdef", "name": "dev", "state": "running", "image": "alpine", "kernel": "debian-12",
            "vcpus": 1, "memory_mib": 512, "disk_bytes": 8_589_934_592_u64, "created_at": "2026-01-01T00:00:00Z"
        }))
        .unwrap();
        let told = with_news(&Action::Touch, &vm, Done::default());
        assert!(told.was_already);
        assert_eq!(told.notes, ["VM `dev` has no time to live; to set one: banger set dev --ttl 8h"]);
        vm.expires_at = Some("2026-01-01T08:00:00Z".to_owned());
        assert!(with_news(&Action::Touch, &vm, Done::default()).notes.is_empty());
    }
}
